"""Ask the operator at the terminal."""


def answered(prompt: str) -> str:
    """Return what the operator types, without blanks around; "" where the input ends instead (Ctrl-D)."""
    try:
        return input(prompt).strip()
    except EOFError:
        print()
        return ""
