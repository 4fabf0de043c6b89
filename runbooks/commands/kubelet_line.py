"""The kubelet's command line as systemd makes it from the unit, its drop-ins and the files with variables; and which file each flag is from.

Official sources: systemd.service(5), section "Command lines"; systemd.exec(5), Environment= and EnvironmentFile=; and kubeadm's drop-in,
https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/kubelet-integration/
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

KUBELET = "kubelet"
# Of a file with variables: a name, a quoted part of a value, and the rest of a line.
NAME = re.compile(r"[ \t]*([A-Za-z_]\w*)[ \t]*=")
QUOTED = re.compile(r"""[ \t]*(?:"((?:[^"\\]|\\.)*)"|'([^']*)')""", re.DOTALL)
LINE = re.compile(r"(?:[^\n\\]|\\.)*(?:\n|\\\Z|\Z)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag of a component: its name with dashes, its value ("" for none), and the file that it is from.

    ``joined``: name and value are one word, "--name=value".
    """

    name: str
    value: str = field(repr=False)
    file: str
    joined: bool = True


@dataclass(frozen=True, slots=True)
class Line:
    """The words after the program, each with its file; and the files with variables that the unit cannot do without and that are missing."""

    words: tuple[tuple[str, str], ...] = field(repr=False)
    missing: tuple[str, ...] = ()

    @property
    def flags(self) -> tuple[Flag, ...]:
        """The flags in order; a flag that is given twice is there twice."""
        return tuple(flags(self.words))

    def as_words(self) -> tuple[str, ...]:
        """The words alone, to be compared with those of a process."""
        return tuple(word for word, _ in self.words)


def line(unit: str, files: Mapping[str, str]) -> Line:
    """Return the command line that the kubelet gets at its next start.

    ``unit`` is what `systemctl cat` printed, ``files`` are the files with variables that could be read, by path. Raises ValueError when the
    unit starts no kubelet, or starts it through another program.
    """
    settings = list(_settings(unit))
    variables, missing = _variables(settings, files)
    start: list[tuple[str, str]] = []
    for file, key, value in settings:
        if key == "ExecStart":
            start = [*start, (value, file)] if value else []
    if not start:
        raise ValueError("the unit has no ExecStart")
    command, file = start[-1]
    words = list(_expanded(command.lstrip("-@:+!|"), file, variables))
    program = words[0][0] if words else ""
    if program.rpartition("/")[2] != KUBELET:
        raise ValueError(f"the unit starts {program or 'nothing'}, not the kubelet itself")
    return Line(tuple(words[1:]), missing)


def flags(words: Iterable[tuple[str, str]]) -> Iterator[Flag]:
    """Yield the flags among words, each of which has its file. A word that is no flag is the value of the flag before it.

    >>> [(one.name, one.value, one.joined) for one in flags([("--a=b", "f"), ("--c_d", "f"), ("e", "g"), ("-v", "f"), ("--h", "f")])]
    [('a', 'b', True), ('c-d', 'e', False), ('v', '', True), ('h', '', True)]
    """
    open_flag: Flag | None = None
    for word, file in words:
        found = re.match(r"--?([A-Za-z][\w.-]*)(=.*)?\Z", word, re.DOTALL)
        if not found:
            if open_flag:
                yield Flag(open_flag.name, word, open_flag.file, joined=False)
            open_flag = None
            continue
        if open_flag:
            yield open_flag
        one = Flag(found[1].replace("_", "-"), (found[2] or "")[1:], file)
        open_flag = None if found[2] else one
        if found[2]:
            yield one
    if open_flag:
        yield open_flag


def _settings(unit: str) -> Iterator[tuple[str, str, str]]:
    """Yield (file, key, value) of the section [Service]. `systemctl cat` writes "# PATH" before each file."""
    file, section = "", ""
    for text in _joined(unit.splitlines()):
        header = re.match(r"# (/\S+\.(?:service|conf))\Z", text)
        if header:
            file, section = header[1], ""
        elif re.match(r"\s*[#;]", text):
            continue
        elif found := re.match(r"\s*\[(\w+)\]\s*\Z", text):
            section = found[1]
        elif section == "Service" and "=" in text:
            key, _, value = text.partition("=")
            yield file, key.strip(), value.strip()


def _joined(lines: Sequence[str]) -> Iterator[str]:
    """Yield the lines, with those that end with a backslash joined to the next one; comments in between are left out."""
    begun = ""
    for text in lines:
        if begun and re.match(r"\s*[#;]", text):
            continue
        if text.endswith("\\"):
            begun += f"{text[:-1]} "
            continue
        yield begun + text
        begun = ""
    if begun:
        yield begun


def _variables(
    settings: Iterable[tuple[str, str, str]], files: Mapping[str, str]
) -> tuple[dict[str, tuple[str, str]], tuple[str, ...]]:
    """Return the variables, each with its value and its file, and the missing files that are needed. Those of files win."""
    direct: dict[str, tuple[str, str]] = {}
    paths: dict[str, bool] = {}
    for file, key, value in settings:
        if key == "Environment":
            given = [word.partition("=") for word in _split(value)]
            direct = direct | {name: (text, file) for name, is_set, text in given if is_set} if value else {}
        elif key == "EnvironmentFile":
            path = value.removeprefix("-").strip()
            paths = paths | {path: not value.startswith("-")} if value else {}
    found = dict(direct)
    missing = []
    for pattern, needed in paths.items():
        matching = [path for path in files if _matches(path, pattern)]
        if needed and not matching:
            missing.append(pattern)
        for path in sorted(matching):
            found |= {name: (text, path) for name, text in assignments(files[path])}
    return found, tuple(missing)


def names_variables(unit: str, path: str) -> bool:
    """Whether the unit takes variables from the file ``path``."""
    patterns = [value.removeprefix("-").strip() for _, key, value in _settings(unit) if key == "EnvironmentFile"]
    return any(_matches(path, pattern) for pattern in patterns)


def _matches(path: str, pattern: str) -> bool:
    if path == pattern or not any(mark in pattern for mark in "*?["):
        return path == pattern
    return path.count("/") == pattern.count("/") and fnmatchcase(path, pattern)


def assignments(text: str) -> Iterator[tuple[str, str]]:
    r"""Yield the variables of a file for EnvironmentFile=. Quotes are taken off; without quotes, the rest of the line is the value.

    >>> list(assignments('# no\nA="--b=c --d"\nE=--f --g \nH=\'i\' "j"\nk\n'))
    [('A', '--b=c --d'), ('E', '--f --g'), ('H', 'ij')]
    """
    yield from ((name, value) for name, value, _, _ in spans(text))


def spans(text: str) -> Iterator[tuple[str, str, int, int]]:
    r"""As `assignments`, each with where its first line begins and where the next line begins.

    >>> list(spans("A=1\nB=2\n"))
    [('A', '1', 0, 4), ('B', '2', 4, 8)]
    """
    at = 0
    while at < len(text):
        start = at
        if found := NAME.match(text, at):
            value, at = _value(text, found.end())
            yield found[1], value, start, at
        else:
            at = _next_line(text, at)


def _value(text: str, at: int) -> tuple[str, int]:
    """Return the value that begins at ``at``, and where the next line begins: quoted parts, then perhaps one without quotes."""
    parts = []
    while found := QUOTED.match(text, at):
        parts.append(found[2] if found[1] is None else re.sub(r"\\(?:\n|([\"\\`$]))", r"\1", found[1]))
        at = found.end()
    end = _next_line(text, at)
    return "".join(parts) + re.sub(r"\\(?:\n|(.))", r"\1", text[at:end]).strip(" \t\n"), end


def _next_line(text: str, at: int) -> int:
    """Return where the next line begins; a line that ends with a backslash goes on."""
    found = LINE.match(text, at)
    return found.end() if found else len(text)


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:  # a quote that is never closed
        return text.split()


def _expanded(command: str, file: str, variables: Mapping[str, tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Yield the words of a command, each with its file. $NAME as a word of its own is split at spaces, ${NAME} is not."""
    for word in _split(command):
        if alone := re.match(r"\$([A-Za-z_]\w*)\Z", word):
            value, where = variables.get(alone[1], ("", file))
            yield from ((each, where) for each in _split(value))
            continue
        inside = re.findall(r"\$\{([A-Za-z_]\w*)\}", word)
        where = next((variables[name][1] for name in inside if name in variables), file)
        text = re.sub(r"\$\{([A-Za-z_]\w*)\}", lambda found: variables.get(found[1], ("", ""))[0], word)
        if text or not inside:
            yield text.replace("$$", "$"), where
