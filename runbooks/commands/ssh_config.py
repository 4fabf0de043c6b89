"""What the operator's own ssh does to reach a host: parsers of ssh's words, and how hosts.yaml says the same. Runs nothing.

https://man.openbsd.org/ssh_config, https://man.openbsd.org/ssh
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

T = TypeVar("T", bound=Hashable)
SSH_PORT: Final = 22
TAKES_VALUE: Final = frozenset("BbcDEeFIiJLlmOoPpQRSWw")  # options of ssh that are followed by a word
_TOKEN: Final = re.compile(r"%(.)|\$\{(\w+)\}")
JUMP: Final = re.compile(
    r"(?:ssh://)?(?:(?P<user>[^@\s]+)@)?(?P<host>\[[0-9A-Fa-f:.%]+\]|[^@:\s/\[\]]+)(?::(?P<port>[0-9]{1,5}))?/?"
)


@dataclass(frozen=True, slots=True)
class Jump:
    """A host to go through, as somebody wrote it: perhaps an alias, None for what is not said."""

    host: str
    user: str | None = None
    port: int | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Gateway:
    """A host to go through, as it is reached."""

    address: str
    user: str
    port: int
    key: str | None


@dataclass(frozen=True, slots=True)
class Login:
    """How a host is reached: its address (or DNS name), login and port, the private key (None: the agent and the usual keys), the gateways.

    ``configured``: which of user, port, key a configuration says. ``notes``: what hosts.yaml cannot say, one sentence each.
    """

    address: str
    user: str
    port: int
    key: str | None
    gateways: tuple[Gateway, ...]
    configured: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ways:
    """The gateways that somebody's words for ssh lead through. ``unclear``: words that may be one, and hosts.yaml cannot say."""

    jumps: tuple[Jump, ...] = ()
    unclear: str = ""


def answers(printed: str) -> dict[str, list[str]]:
    r"""Return the settings that `ssh -G` has printed, by keyword in lower case; some come several times.

    >>> answers("user ops\nidentityfile ~/a\nidentityfile ~/b\n")
    {'user': ['ops'], 'identityfile': ['~/a', '~/b']}
    """
    found: dict[str, list[str]] = {}
    for line in printed.splitlines():
        keyword, _, value = line.partition(" ")
        found.setdefault(keyword.lower(), []).append(value.strip())
    return found


def with_tokens(text: str, values: Mapping[str, str], environ: Mapping[str, str]) -> str:
    """Return a path of a configuration with its tokens (%d, %h) and variables (${NAME}) replaced; "" where one of them is not known.

    https://man.openbsd.org/ssh_config#TOKENS, https://man.openbsd.org/ssh_config#ENVIRONMENT_VARIABLES

    >>> with_tokens("%d/.ssh/%h_${WHO}%%", {"d": "/home/jo", "h": "m1"}, {"WHO": "ops"}), with_tokens("~/%C", {}, {})
    ('/home/jo/.ssh/m1_ops%', '')
    """
    known = {**values, "%": "%"}
    if any((each[1] not in known) if each[1] else (each[2] not in environ) for each in _TOKEN.finditer(text)):
        return ""
    return _TOKEN.sub(lambda each: known[each[1]] if each[1] else environ[each[2]], text)


def jumps(text: str) -> Ways:
    """Return the hosts of a ProxyJump (or -J), the first one to be passed first; ``none`` is no host.

    >>> jumps("jump@bastion:2222,inner").jumps
    (Jump(host='bastion', user='jump', port=2222, key=None), Jump(host='inner', user=None, port=None, key=None))
    """
    if text.strip().lower() in {"", "none"}:
        return Ways()
    found = [JUMP.fullmatch(each.strip()) for each in text.split(",")]
    if not all(found):
        return Ways(unclear=text)
    return Ways(tuple(_jump(each) for each in found if each))


def _jump(match: re.Match[str]) -> Jump:
    port = match["port"]
    return Jump(match["host"].strip("[]"), match["user"], int(port) if port else None)


def of_command(command: str) -> Ways:
    """Return the host of a ProxyCommand that only goes through another host: `ssh -W %h:%p HOST`, or `ssh HOST nc %h %p`.

    >>> of_command("ssh -q -W %h:%p -i ~/.ssh/x -p 2200 jo@bastion").jumps
    (Jump(host='bastion', user='jo', port=2200, key='~/.ssh/x'),)
    >>> of_command("connect -S proxy %h %p")
    Ways(jumps=(), unclear='connect -S proxy %h %p')
    """
    if command.strip().lower() in {"", "none"}:
        return Ways()
    words = _words(command)
    if not words or words[0].rpartition("/")[2] != "ssh":
        return Ways(unclear=command)
    options, rest = _options(words[1:])
    target = JUMP.fullmatch(rest[0]) if rest else None
    forwards = any(flag == "W" for flag, _ in options) or re.fullmatch(r"(\S*/)?(nc|ncat|netcat)( .*)? %h %p", " ".join(rest[1:]))
    if not target or not forwards:
        return Ways(unclear=command)
    said = dict(options)
    to = _jump(target)
    port = said.get("p", "")
    jump = Jump(to.host, said.get("l") or to.user, int(port) if re.fullmatch(r"[0-9]{1,5}", port) else to.port, said.get("i"))
    before = of_words(words[1 : -len(rest)])
    return Ways((*before.jumps, jump), before.unclear)


def of_words(words: Sequence[str]) -> Ways:
    """Return the gateways that options of ssh name: -J, and -o with ProxyJump or ProxyCommand. Ansible's ssh_common_args are such words.

    >>> of_words(["-o", "StrictHostKeyChecking=no", "-o", "ProxyJump=jump@10.9.9.9"]).jumps[0].host
    '10.9.9.9'
    """
    for flag, value in _options(words)[0]:
        keyword, _, setting = value.replace("=", " ", 1).strip().partition(" ")
        if flag == "J":
            return jumps(value)
        if flag == "o" and keyword.lower() == "proxyjump":
            return jumps(setting.strip())
        if flag == "o" and keyword.lower() == "proxycommand":
            return of_command(setting.strip().strip("\"'"))
    return Ways()


def key_of(words: Sequence[str]) -> str | None:
    """Return the private key that options of ssh name (-i, or -o IdentityFile), None without one."""
    for flag, value in _options(words)[0]:
        keyword, _, setting = value.replace("=", " ", 1).strip().partition(" ")
        if flag == "i" or (flag == "o" and keyword.lower() == "identityfile"):
            return value if flag == "i" else setting.strip()
    return None


def arguments(text: str) -> list[str]:
    """Return the words of a line of options, [] when its quotes are not closed."""
    return _words(text)


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return []


def _options(words: Sequence[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """Return the options in front of ``words``, letter and value ("" for one without), and the words after them."""
    found: list[tuple[str, str]] = []
    left = list(words)
    while left and left[0].startswith("-") and left[0] != "-":
        letters = left.pop(0)[1:]
        while letters:
            flag, letters = letters[0], letters[1:]
            if flag in TAKES_VALUE:
                found.append((flag, letters or (left.pop(0) if left else "")))
                break
            found.append((flag, ""))
    return found, left


def said(logins: Mapping[str, Login]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return the group `ssh` of hosts.yaml, and `hosts[].ssh` of each host (by the names of ``logins``) that is reached differently.

    What most hosts have is said once. {} and {} for no hosts.
    """
    if not logins:
        return {}, {}
    user, port = _most(each.user for each in logins.values()), _most(each.port for each in logins.values())
    key, way = _most(each.key for each in logins.values()), _most(each.gateways for each in logins.values())
    common = {"user": user, "key": key, "port": port, "gateway": _gateways(way, user, key)}
    own: dict[str, dict[str, Any]] = {}
    for name, each in logins.items():
        differs = {
            "user": each.user if each.user != user else None,
            "key": each.key if each.key != key else None,
            "port": each.port if each.port != port else None,
            "gateway": (_gateways(each.gateways, user, key) or []) if each.gateways != way and not _is_last(each, way) else None,
        }
        own[name] = {setting: value for setting, value in differs.items() if value is not None}
    return {setting: value for setting, value in common.items() if value is not None}, {
        name: each for name, each in own.items() if each
    }


def _is_last(login: Login, way: Sequence[Gateway]) -> bool:
    """Whether the host of ``login`` is one of the gateways of ``way``, reached through those before it: hosts.yaml needs no word for that."""
    here = next((number for number, each in enumerate(way) if (each.address, each.port) == (login.address, login.port)), None)
    return here is not None and login.gateways == tuple(way[:here])


def _most(values: Iterable[T]) -> T:
    """Return the most frequent value, of several the first one."""
    return Counter(values).most_common(1)[0][0]


def _gateways(way: Sequence[Gateway], user: str, key: str | None) -> dict[str, Any] | list[dict[str, Any]] | None:
    found = []
    for each in way:
        given = {
            "address": each.address,
            "user": each.user if each.user != user else None,
            "port": each.port if each.port != SSH_PORT else None,
            "key": each.key if each.key != key else None,
        }
        found.append({setting: value for setting, value in given.items() if value is not None})
    return found[0] if len(found) == 1 else found or None
