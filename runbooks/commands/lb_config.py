"""What a haproxy.cfg and a keepalived.conf serve: their listeners and virtual addresses. Reads any configuration, not only ours.

Only the statements that say where something listens are read, not the rest of the languages: HAProxy's configuration manual, `bind` and
`listen`; keepalived.conf(5), `virtual_ipaddress` and `virtual_server`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Final

from runbooks.commands.lb_paths import MARK, OURS, TELL_VIP

# https://docs.haproxy.org/3.2/configuration.html#1.2 and the chapters of each section
SECTIONS: Final = frozenset({
    "global", "defaults", "frontend", "listen", "backend", "peers", "userlist", "resolvers", "mailers", "program", "cache", "ring",
    "http-errors", "fcgi-app", "crt-store", "log-forward", "log-profile", "traces", "acme",
})  # fmt: skip
_ANYWHERE = {"0.0.0.0", "::"}  # noqa: S104 - read, not bound


@dataclass(frozen=True, slots=True)
class Bind:
    """One address and TCP port that a configuration of HAProxy listens on; ``address`` is "" for all of them."""

    proxy: str
    address: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address or "*"
        return f"{host}:{self.port}"


def canonical(word: str) -> str:
    """Return an IP address as `ip` and `ss` write it, one that is IPv4 inside IPv6 as IPv4; "" for anything else.

    >>> canonical("FD00:0:0::9"), canonical("::ffff:10.0.0.1"), canonical("localhost")
    ('fd00::9', '10.0.0.1', '')
    """
    try:
        address = ip_address(word)
    except ValueError:
        return ""
    inside = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(inside or address)


def overlap(one: str, two: str) -> bool:
    """Whether one host cannot listen on the same port of both addresses; "" and its like stand for all addresses.

    A name (`localhost`) may be any address.

    >>> overlap("", "10.0.0.1"), overlap("127.0.0.1", "10.0.0.1"), overlap("0.0.0.0", "fd00::1"), overlap("localhost", "::1")
    (True, False, False, True)
    """
    one, two = canonical(one), canonical(two)
    if one == two or not one or not two:
        return True
    if not (one in _ANYWHERE or two in _ANYWHERE):
        return False
    # `ss` writes * for a socket that takes both families, and [::] for one that takes IPv6 only.
    return (":" in one) == (":" in two)


def statements(text: str) -> Iterator[list[str]]:
    """Return the words of every line that is no comment. A line with an odd quote is split at its blanks."""
    for line in text.splitlines():
        bare = line.strip()
        if not bare or bare.startswith(("#", "!")):
            continue
        try:
            words = shlex.split(bare, comments=True)
        except ValueError:
            words = bare.split()
        if words:
            yield words


def assignments(text: str) -> dict[str, str]:
    """Return assignments of variables as systemd prints or reads them: separated by blanks, each with or without quotes."""
    try:
        words = shlex.split(text)
    except ValueError:
        words = [text]
    return {name: value for name, given, value in (word.partition("=") for word in words) if given}


def is_ours(text: str) -> bool:
    """Whether `inv lb.setup` wrote this file: every build has had the same words in the first line."""
    return OURS in text.partition("\n")[0]


def says_nothing(text: str) -> bool:
    """Whether a file has only comments and blank lines."""
    return next(statements(text), None) is None


def mark(text: str) -> str:
    """Return the mark that this haproxy.cfg carries ("ha-runbooks DIGEST"), "" for one that is not ours or of an earlier build."""
    found = re.search(rf"(?m)^\s*description\s+({MARK} [0-9a-f]+)\s*$", text)
    return found[1] if found else ""


def binds(text: str) -> list[Bind]:
    r"""Return where a haproxy.cfg listens on TCP. Left out: sockets in the file system, addresses in variables, disabled sections.

    >>> [str(each) for each in binds("frontend a\n bind :80,[::1]:81 v6only\nlisten b 10.0.0.1:90-91\n bind /run/x\n")]
    ['*:80', '[::1]:81', '10.0.0.1:90', '10.0.0.1:91']
    """
    found: dict[int, list[Bind]] = {}  # by the section's number
    off: set[int] = set()
    proxy, section = "", 0
    for words in statements(text):
        where = ""
        if words[0] in SECTIONS:
            section += 1
            proxy = words[1] if len(words) > 1 else words[0]
            where = words[2] if words[0] in {"frontend", "listen"} and len(words) > 2 else ""
        elif words[0] == "bind" and len(words) > 1:
            where = words[1]
        elif words[0] == "disabled":
            off.add(section)
        found.setdefault(section, []).extend(_addresses(proxy, where))
    return [bind for number, binds in found.items() if number not in off for bind in binds]


def _addresses(proxy: str, word: str) -> Iterator[Bind]:
    for each in word.split(","):
        bare = re.sub(r"^(ipv4|ipv6|tcp|tcp4|tcp6)@", "", each)
        found = re.fullmatch(r"(.*):(\d{1,5})(?:-(\d{1,5}))?", bare, re.ASCII)
        if not found or "@" in bare or "/" in bare or "$" in bare:
            continue
        address = found[1].strip("[]")
        first, last = int(found[2]), int(found[3] or found[2])
        for port in range(first, min(last, first + 1000) + 1):
            yield Bind(proxy, "" if address == "*" else address, port)


def services(text: str) -> dict[tuple[str, str], list[str]]:
    r"""Return where each section of a haproxy.cfg that accepts connections does so, by its kind and name. Also what `binds` leaves out.

    >>> services("frontend a\n bind :80,:81\n bind /run/x\nlisten b\nbackend c\npeers d\n bind :90\n")
    {('frontend', 'a'): ['*:80', '*:81', '/run/x'], ('listen', 'b'): [], ('peers', 'd'): ['*:90']}
    """
    found: dict[tuple[str, str], list[str]] = {}
    section = ("", "")
    for words in statements(text):
        where: list[str] = []
        if words[0] in SECTIONS:
            section = (words[0], words[1] if len(words) > 1 else "")
            if words[0] not in {"frontend", "listen"}:
                continue
            where = words[2:3] if words[2:3] != ["from"] else []
        elif words[0] == "bind" and len(words) > 1:
            where = words[1:2]
        else:
            continue
        known = found.setdefault(section, [])
        for each in where:
            known += [str(bind) for bind in _addresses(section[1], each)] or [each]
    return found


def includes(text: str) -> list[str]:
    """Return the statements of a keepalived.conf that include other files: `include` and its stricter forms (keepalived.conf(5))."""
    return [" ".join(words) for words in statements(text) if re.fullmatch(r"include[a-z]?", words[0]) and len(words) > 1]


def instances(text: str) -> list[str]:
    """Return the names of the VRRP instances of a keepalived.conf."""
    return [words[1] for words in statements(text) if words[0] == "vrrp_instance" and len(words) > 1]


def other_vips(text: str) -> list[str]:
    """Return the VRRP instances that lb.setup wrote into a keepalived.conf for VIPs beside the one of the API, each as its text."""
    found = re.finditer(r"(?ms)^vrrp_instance \S+ \{\n.*?^\}\n", text)
    return [each[0] for each in found if re.search(rf'(?m)^\s*notify "\S+/lb-hook {TELL_VIP} ', each[0])]


def other_names(text: str) -> list[str]:
    """Return the names of these VIPs, as hosts.yaml had them."""
    found = (re.search(rf'(?m)^\s*notify "\S+/lb-hook {TELL_VIP} \S+ (\S+)"', each) for each in other_vips(text))
    return [each[1] for each in found if each]


def virtual_servers(text: str) -> list[str]:
    """Return the virtual servers (IPVS) of a keepalived.conf."""
    return [" ".join(words[1:3]).rstrip(" {") for words in statements(text) if words[0] == "virtual_server" and len(words) > 1]


def virtual_addresses(text: str) -> list[str]:
    r"""Return the addresses that a keepalived.conf adds to a host while it is the VRRP master, without their prefix lengths.

    >>> virtual_addresses("virtual_ipaddress {\n 10.0.0.9/24 dev eth0\n fd00::9\n}\n")
    ['10.0.0.9', 'fd00::9']
    """
    found: list[str] = []
    inside = False
    for words in statements(re.sub(r"([{}])", r"\n\1\n", text)):
        if words[0] in {"virtual_ipaddress", "virtual_ipaddress_excluded"}:
            inside = True
        elif words[0] == "}":
            inside = False
        elif inside and words[0] != "{" and (address := canonical(words[0].partition("/")[0])):
            found.append(address)
    return list(dict.fromkeys(found))
