"""Files on a host: read them, compare them, and write new ones."""

from __future__ import annotations

import difflib
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace

from runbooks.commands.base import MASK, Answer, Command, Probe, Secret, script
from runbooks.inventory.model import Host
from runbooks.text import listed


@dataclass(frozen=True, slots=True)
class File:
    """A file as it should be. ``mode`` is octal text; ``secret`` is a part of ``content`` that is never printed."""

    path: str
    content: str = field(repr=False)
    _: KW_ONLY
    mode: str = "0644"
    owner: str = "root:root"
    secret: Secret | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A file as it is on a host. ``link``: what it leads to, where it is a symbolic link: then nothing else is known of it.

    Somebody has put such a link there on purpose. It is no file that we write: it is never followed, never replaced, and always a difference.
    """

    content: str = field(repr=False)
    mode: str
    owner: str
    link: str = ""


def found(paths: Iterable[str], top: str = "") -> Probe[dict[str, Found]]:
    """Return the probe for those of ``paths`` that exist below ``top``, with their content (small configuration files); links too."""
    return Probe(replace(script("files-found", {"PATHS": paths, "TOP": top}), shown="files-found"), parse_found)


def parse_found(answer: Answer) -> dict[str, Found]:
    """Parse the three lines of files-found.sh: paths, "mode owner bytes;" of each, contents. Raises ValueError on anything else."""
    if not answer.stdout.strip():
        return {}
    names, facts, contents, _ = answer.stdout.split("\n")
    data, at, files = b64decode(contents), 0, {}
    for path, fact in zip(_text(names).split("\0")[:-1], facts.split(";")[:-1], strict=True):
        mode, owner, size = fact.split(" ")
        text = data[at : at + int(size)].decode(errors="replace")
        files[path] = Found("", mode, owner, link=text) if mode == "link" else Found(text, mode.zfill(4), owner)
        at += int(size)
    if at != len(data):
        raise ValueError("a file changed while it was read")
    return files


def differing(wanted: Sequence[File], there: dict[str, Found]) -> list[File]:
    """Return those of ``wanted`` that are missing, or differ in content, mode or owner."""
    return [file for file in wanted if there.get(file.path) != Found(file.content, file.mode, file.owner)]


def links(paths: Iterable[str], there: Mapping[str, Found]) -> list[str]:
    """Return those of ``paths`` that are symbolic links."""
    return [path for path in paths if path in there and there[path].link]


def not_files(paths: Sequence[str]) -> str:
    """Say that ``paths`` are symbolic links."""
    return f"this is a symbolic link, and only a file is written: {listed(paths)}"


def without_link(host: Host, path: str) -> str:
    """Say how the link ``path`` becomes a file with what it leads to."""
    return f'on {host}: cp --remove-destination "$(readlink -f {path})" {path} makes a file of it; or rm {path}'


def regular(there: Mapping[str, Found]) -> dict[str, Found]:
    """Return what is ``there`` without symbolic links."""
    return {path: each for path, each in there.items() if not each.link}


def diff(file: File, there: Found | None) -> str:
    """Return the unified diff from the file on the host to the wanted one, secrets masked; also a change of mode, owner or secret."""
    if there and there.link:
        return f"{file.path}: a symbolic link to {there.link}\n"
    old = masked(there.content, file) if there else ""
    lines = list(
        difflib.unified_diff(
            old.splitlines(keepends=True),
            masked(file.content, file).splitlines(keepends=True),
            fromfile=file.path if there else "/dev/null",
            tofile=file.path,
        )
    )
    text = "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)
    if there and (there.mode, there.owner) != (file.mode, file.owner):
        text += f"{file.path}: {there.mode} {there.owner} -> {file.mode} {file.owner}\n"
    if there and there.content != file.content and not lines:
        text += f"{file.path}: another secret\n"
    return text


def encoded(files: Sequence[File]) -> dict[str, list[str]]:
    """Return the variables for the host scripts that write ``files``. Contents are on no command line."""
    return {
        "PATHS": [file.path for file in files],
        "MODES": [file.mode for file in files],
        "OWNERS": [file.owner for file in files],
        "CONTENTS": [Secret(b64encode(file.content.encode()).decode()) for file in files],
    }


def place(files: Sequence[File]) -> Command:
    """Return the command that writes ``files``. Each is replaced atomically (new file beside it, fsync, rename), with its mode."""
    return replace(script("files-place", encoded(files)), shown="files-place " + " ".join(file.path for file in files))


# The old content may have an older secret, so all that may be one is masked, not only the current secret. The value is the rest of the line, or of the
# text or list that begins there: containerd's file may have tables in one line, and a header is a list.
_VALUE = r"""(?:\"{3}[\s\S]*?\"{3}|'{3}[\s\S]*?'{3}|\[[^\]]*\])?.*"""
# A flag such as --authorization-mode is none.
_KEY = r"""(?:(?:password|passwd|token|secret)[\w.-]{0,100}["']?|auth\w{0,100}|auth[\w.-]{0,100}["'])"""
_SECRETS = (
    re.compile(rf"({_KEY}[ \t]*=[ \t]*)(?!(?:true|false)[ \t]*$){_VALUE}$", re.I | re.M),
    # keepalived's and HAProxy's
    re.compile(r"^([-+ \t]*user[ \t].*?\bpassword[ \t]+|.*?\b(?:auth_pass|stats[ \t]+auth)[ \t]+)\S.*$", re.I | re.M),
    # HAProxy's variables
    re.compile(r"^([-+ \t]*(?:pre)?setenv[ \t]+\S*(?:pass|secret|token|key|auth)\S*[ \t]+)\S.*$", re.I | re.M),
    # a header, wherever it stands
    re.compile(r"""(["'](?:Basic|Bearer)[ ]+|\b(?:Basic|Bearer)(?:\\[ ])+)[^\s"']+""", re.I),
)


def masked(content: str, file: File) -> str:
    """Return ``content`` without the secret of ``file``, and without all that `hidden` hides."""
    return hidden(content.replace(file.secret, MASK) if file.secret else content)


def hidden(text: str) -> str:
    """Return a configuration file, or the difference of two, without what may be a password, a hash of one, or a token.

    >>> hidden('configs = {"r" = {auth = {username = "u", password = "x"}}}')
    'configs = {"r" = {auth = ***'
    >>> hidden("  user b groups g1 password $5$salt$hash")
    '  user b groups g1 password ***'
    >>> hidden("  setenv SHOP_TOKEN abc")
    '  setenv SHOP_TOKEN ***'
    """
    for pattern in _SECRETS:
        text = pattern.sub(rf"\g<1>{MASK}", text)
    return text


def _text(encoded_text: str) -> str:
    return b64decode(encoded_text).decode(errors="replace")
