"""APIs that the target no longer serves: who asks for them, and what is stored of them. Pure.

There is no proof that nobody uses an API. The evidence, each with its reach: every API server counts requests of deprecated APIs since its process
started; the audit log, where there is one, says who asked; objects say which programs have written them by which API, and from which manifest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from runbooks.commands.api_use import ApiUse, Named, Objects, Requested
from runbooks.errors import RunbookError
from runbooks.inventory.model import Host
from runbooks.rules.finding import Finding, unread
from runbooks.text import DAY, age_text, counted, first_few, listed
from runbooks.upgrade.rules.tables import Api, Minor, apis, parsed

TOPIC = "APIs"
METRICS = "the metrics of its API server"
TOLD = 3
SHORT_S = DAY  # an API server that has run for a shorter time has not seen what is done once a day
GUIDE = "https://kubernetes.io/docs/reference/using-api/deprecation-guide/"
# Programs of Kubernetes itself: the upgrade brings those that use the new APIs.
OWN = ("kube-", "kubeadm", "kubelet", "cloud-controller-manager")
UNTOLD = ("events", "leases")  # written by Kubernetes itself all the time, and by nobody's manifest


@dataclass(frozen=True, slots=True)
class Facts:
    """What was read: of every API server, and the objects that name removed APIs (or why there are none)."""

    servers: Mapping[Host, ApiUse | RunbookError]
    objects: Sequence[Objects] | RunbookError


def removed(now: Minor, target: Minor) -> tuple[Api, ...]:
    """Return the API versions that are served by ``now`` and not by ``target``."""
    return tuple(each for each in apis() if now < each.gone <= target)


def wanted(now: Minor, target: Minor) -> tuple[tuple[str, str, str], ...]:
    """Return the resources whose objects are to be read before the first hop: (resource, removed API, API to read them by).

    What a later hop removes is read before that one: the API that has the objects then may not be served yet.
    """
    after = min(target, (now[0], now[1] + 1))
    return tuple(
        (each.resource, each.api, each.instead) for each in removed(now, after) if each.instead and each.resource not in UNTOLD
    )


def findings(facts: Facts, now: Minor, target: Minor) -> list[Finding]:
    """Return the findings about APIs that are gone on the way from ``now`` to ``target``. What could not be read is a failure."""
    gone = removed(now, target)
    name = f"{target[0]}.{target[1]}"
    if now[:2] == target[:2]:
        return [Finding("ok", topic=TOPIC, seen=f"a patch release of {name} removes none")]
    found = [unread(TOPIC, host, each) for host, each in facts.servers.items() if isinstance(each, RunbookError)]
    seen = {host: each for host, each in facts.servers.items() if isinstance(each, ApiUse)}
    found += [_unread(host, each) for host, each in seen.items() if each.error]
    counting = {host: each for host, each in seen.items() if not each.error}
    found += _requests(counting, now, target)
    found += _stored(counting, gone, name)
    found += _objects(facts.objects, name)
    if counting and all(each.severity in {"ok", "note"} for each in found):
        found.append(_quiet(counting, gone, name))
    return found


def _unread(host: Host, seen: ApiUse) -> Finding:
    return Finding("fail", topic=TOPIC, host=host.name, seen=f"{METRICS}: {seen.error}", fix="inv cluster.verify")


def _quiet(servers: Mapping[Host, ApiUse], gone: Sequence[Api], name: str) -> Finding:
    ages = {host: each.clock - each.started for host, each in servers.items()}
    what = f"{counted(len(gone), 'resource')}, each by an old version" if gone else "none in the tables"
    since = listed(f"{host} {age_text(age)}" for host, age in ages.items())
    seen = f"nothing that {name} removes ({what}) was asked for since the API servers started ({since} ago)"
    if min(ages.values()) >= SHORT_S:
        return Finding("ok", topic=TOPIC, seen=seen)
    why = "they have not run for a day: what is done once a day or less has not been seen by them"
    return Finding("note", topic=TOPIC, seen=seen, why=why, fix=f"look into charts, manifests and jobs by hand: {GUIDE}")


# ---- requests


def _requests(servers: Mapping[Host, ApiUse], now: Minor, target: Minor) -> Iterator[Finding]:
    by_what: dict[Requested, list[Host]] = {}
    for host, each in servers.items():
        for what in each.requested:
            if what.removed and now < parsed(what.removed) <= target:
                by_what.setdefault(what, []).append(host)
    for what, hosts in by_what.items():
        ages = listed(f"on {host} in {age_text(servers[host].clock - servers[host].started)}" for host in hosts)
        seen = f"{what.resource} were asked for by {what.api}, which {what.removed} no longer serves (counted {ages})"
        yield Finding("warn", topic=TOPIC, host=listed(hosts), seen=seen, why=_who(servers, what), fix=_instead(what))


def _who(servers: Mapping[Host, ApiUse], what: Requested) -> str:
    users: dict[tuple[str, str], int] = {}
    for server in servers.values():
        for each in server.users:
            if (each.what.api, each.what.resource) == (what.api, what.resource):
                users[each.name, each.agent] = users.get((each.name, each.agent), 0) + each.times
    counts = "also those of the garbage collector and of inv backup.run, which read every kind"
    if users:
        ordered = sorted(users.items(), key=lambda item: -item[1])
        return "by the audit log: " + listed(
            first_few([f"{name} ({agent}, {counted(times, 'time')})" for (name, agent), times in ordered], TOLD)
        )
    if all(each.audited for each in servers.values()):
        return f"the end of the audit logs has no such request; every request is counted, {counts}"
    why = next(each.audit for each in servers.values() if not each.audited)
    return f"by whom is not known ({why}); every request is counted, {counts}"


def _instead(what: Requested) -> str:
    row = next((each for each in apis() if (each.api, each.resource) == (what.api, what.resource)), None)
    return f"let its users take {row.instead}: {GUIDE}" if row and row.instead else GUIDE


# ---- what is stored


def _stored(servers: Mapping[Host, ApiUse], gone: Sequence[Api], name: str) -> Iterator[Finding]:
    """Return a warning for each resource that is gone altogether and of which objects are stored."""
    for each in gone:
        whole = f"{each.resource}.{each.group}"
        if each.instead or any(other.resource == each.resource and other.instead for other in gone if other.group == each.group):
            continue
        numbers = [seen.objects[whole] for seen in servers.values() if whole in seen.objects]
        if number := max(numbers, default=0):
            seen_text = f"{counted(number, 'object')} of {whole} {'is' if number == 1 else 'are'} stored, and {name} has no such kind any more"
            why = "what they say does not hold any more, and nothing can reach them; they stay in etcd"
            yield Finding("warn", topic=TOPIC, seen=seen_text, why=why, fix=f"replace them first, then delete them: {GUIDE}")


def _objects(read: Sequence[Objects] | RunbookError, name: str) -> Iterator[Finding]:
    if isinstance(read, RunbookError):
        yield Finding("fail", topic=TOPIC, seen=f"objects by removed APIs: {str(read).partition(chr(10))[0]}", fix=read.hint)
        return
    for each in read:
        if each.error:
            seen = f"{each.resource} could not be listed: {each.error}"
            yield Finding("warn", topic=TOPIC, seen=seen, fix=f"kubectl get {each.resource} -A")
            continue
        yield from _writers(each, name)
        applied = [one.key for one in each.objects if one.applied]
        if applied:
            seen = f"the manifests of {counted(len(applied), 'object')} of {each.resource} are written for {each.api}: {_some(applied)}"
            why = f"kubectl apply of them fails on {name}; the objects themselves stay as they are"
            yield Finding("warn", topic=TOPIC, seen=seen, why=why, fix=f"change apiVersion in the manifests: {GUIDE}")


def _writers(read: Objects, name: str) -> Iterator[Finding]:
    by_manager: dict[str, list[tuple[str, Named]]] = {}
    for one in read.objects:
        for manager, when in one.managers:
            if not manager.startswith(OWN) and not (one.applied and manager.startswith("kubectl")):
                by_manager.setdefault(manager, []).append((when, one))
    for manager, those in by_manager.items():
        last = max(when for when, _ in those)
        keys = list(dict.fromkeys(one.key for _, one in those))
        seen = f"{manager or 'a program without a name'} has written {counted(len(keys), 'object')} of {read.resource} by {read.api}, last at {last or '?'}: {_some(keys)}"
        yield Finding(
            "warn", topic=TOPIC, seen=seen, why=f"it fails on {name} unless its newer version uses another API", fix=GUIDE
        )


def _some(keys: Sequence[str]) -> str:
    return listed(first_few(keys, TOLD))
