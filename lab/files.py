"""Files of the lab that others read while they are written."""

from pathlib import Path


def replace(path: Path, text: str) -> None:
    """Replace ``path`` atomically."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(text)
    fresh.replace(path)
