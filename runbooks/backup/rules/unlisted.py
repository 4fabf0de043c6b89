"""Why the objects of a set could not be listed: one sentence with the cause and what mends it, not one line for each kind. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from runbooks.text import counted, first_few, listed, naming

OBJECTS: Final = "objects"  # what is missing, in a manifest
CONFIG: Final = "kubeadm-config"
FEW: Final = 3  # kinds that are named one by one; more of them are one sentence
NAMED: Final = 6
LIST: Final = re.compile(r"(?:(?P<host>\S+): )?resources/(?P<kind>\S+)")
STATUS: Final = re.compile(r"\bHTTP (\d{3})\b|requested URL returned error: (\d{3})\b")
USER: Final = re.compile(r'User "([^"]+)"')
WORDS: Final = {
    "Forbidden": 403,
    "Unauthorized": 401,
    "NotFound": 404,
    "InternalError": 500,
    "ServiceUnavailable": 503,
    "Timeout": 504,
}  # in kubectl's text, which has no number
# No connection, or one that broke off: numbers of curl, and words of kubectl. Other texts are of the host itself (a full disk).
SILENT: Final = re.compile(
    r"\bcurl: \((?:5|6|7|16|18|28|35|52|55|56|92)\)|Unable to connect to the server|The connection to the server|\bdial tcp\b|\bEOF\b"
    r"|i/o timeout|context deadline exceeded|handshake timeout|connection re(?:fused|set)|request canceled|no route to host"
)
NONE: Final = re.compile(r"the set holds none of \d+ kinds: on \S+, (.*)", re.DOTALL)  # as `_sentence` says it
VARIES: Final = re.compile(r"\d+(?:\.\d+){3}|\d+ ms")  # from host to host, in the same refusal of curl
EARLIER: Final = "the API server did not list it: "  # how sets of earlier versions begin
AGAIN: Final = (
    "where `kubeadm init` was run: kubectl --kubeconfig /etc/kubernetes/super-admin.conf create clusterrolebinding "
    "kubeadm:cluster-admins --clusterrole=cluster-admin --group=kubeadm:cluster-admins"
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """What an API server answered instead of objects: HTTP status (0: none), the user that it names, and its text."""

    status: int
    user: str = ""
    text: str = ""

    @property
    def silent(self) -> bool:
        """Whether there was no answer, and nothing else was in the way."""
        return not self.status and (not self.text or bool(SILENT.search(self.text)))

    @property
    def cause(self) -> str:
        """What is wrong, and behind a semicolon the one thing to do."""
        match self.status:
            case 401:
                return (
                    "the API server does not accept the certificate in /etc/kubernetes/admin.conf (HTTP 401 Unauthorized); "
                    "inv certs.check says what is wrong with it"
                )
            case 403 if self.user:  # earlier versions, which asked as the API server's kubelet client, did not note the user
                more = AGAIN if self.user == "kubernetes-admin" else "kubectl auth can-i --list -A shows its rights"
                return f'the API server does not let the user "{self.user}" list them (HTTP 403 Forbidden); {more}'
            case 403:
                return "the API server refused to list them (HTTP 403 Forbidden); inv backup.run makes another set"
            case 0 if self.silent:
                return f"the API server did not answer: {self.text or 'it says nothing'}; inv cluster.verify"
            case 0:
                return self.text
        return f"the API server failed (HTTP {self.status}{': ' if self.text else ''}{self.text}); inv cluster.verify"


def refusal(text: str) -> Refusal:
    """Read what a host sent for a list that it does not have: curl's or kubectl's words, or a Status of the API server."""
    text = text.removeprefix(EARLIER)
    found = STATUS.search(text)
    status = int(found[1] or found[2]) if found else next((WORDS[word] for word in WORDS if f"({word})" in text), 0)
    message = text[found.end() :].strip() if found else text
    user = USER.search(message.replace('\\"', '"'))
    try:
        message = str(json.loads(message)["message"])
    except (ValueError, KeyError, TypeError):
        message = " ".join(message.split())
    return Refusal(status, user[1] if user else "", message[:200])


def missing(wanted: Collection[str], failed: Mapping[str, str], host: str) -> dict[str, str]:
    """Return what a set lacks of the ``wanted`` kinds, and why, for its manifest. ``failed``: what ``host`` sent for each of its parts.

    Each part stands for itself (HOST: PART), but more than three kinds are one entry, "objects".
    """
    lists = {found["kind"]: refusal(why) for part, why in failed.items() if (found := LIST.fullmatch(part))}
    others = {part: why for part, why in failed.items() if not LIST.fullmatch(part)}
    if CONFIG in others:
        others[CONFIG] = refusal(others[CONFIG]).cause
    lacking = {f"{host}: resources/{kind}": each.cause for kind, each in lists.items()}
    if len(lists) > FEW:
        lacking = {OBJECTS: _sentence(lists, [kind for kind in wanted if kind not in lists], host)}
        if others.get(CONFIG) in {each.cause for each in lists.values()}:
            others[CONFIG] = f"for the same reason as the {OBJECTS}"
    return lacking | {f"{host}: {part}": why for part, why in others.items()}


def _sentence(lists: Mapping[str, Refusal], there: Collection[str], host: str) -> str:
    total = len(lists) + len(there)
    only = f"of {counted(total, 'kind')} the set holds {f'only {listed(there)}' if len(there) <= NAMED else len(there)}"
    if not there:
        only = f"the set holds none of {counted(total, 'kind')}"
    elif len(lists) <= len(there):
        only = f"of {counted(total, 'kind')} the set lacks {listed(first_few(sorted(lists), NAMED))}"
    causes: dict[str, str] = {}
    for each in lists.values():  # the text of one refusal names its kind: one for each user and status is enough
        causes.setdefault(f"{each.status} {each.user}" if each.status else each.text, each.cause)
    return f"{only}: on {host}, {' and '.join(first_few(list(causes.values()), 2))}"


def nowhere(said: Mapping[str, str]) -> str:
    """Return why there are no objects, from what each asked host ``said`` ("": nothing): once for all hosts with the same cause."""
    first, *others = [host for host, why in said.items() if why] or [""]
    if not first:
        return ""
    causes = {host: _cause(host, said[host]) for host in (first, *others)}
    same = [host for host in others if VARIES.sub("", causes[host]) == VARIES.sub("", causes[first])]
    so = [f"so it was on {listed(same)}"] if same else []
    return "; ".join([said[first], *so, *(naming(host, causes[host]) for host in others if host not in same)])


def _cause(host: str, why: str) -> str:
    return found[1] if (found := NONE.match(why)) else why.removeprefix(f"{host}: ")


def objects_first(entries: Mapping[str, str], there: Collection[str]) -> dict[str, str]:
    """Return what a set lacks, ``entries`` of its manifest, with the objects first; ``there``: the kinds that it has.

    The lists that earlier versions named one by one become one entry.
    """
    lists = {found: refusal(why) for what, why in entries.items() if (found := LIST.fullmatch(what))}
    if len(lists) > FEW:
        host = next(iter(lists))["host"]
        sentence = _sentence({found["kind"]: each for found, each in lists.items()}, there, host)
        entries = {OBJECTS: sentence} | {what: why for what, why in entries.items() if not LIST.fullmatch(what)}
    return ({OBJECTS: entries[OBJECTS]} if OBJECTS in entries else {}) | dict(entries)
