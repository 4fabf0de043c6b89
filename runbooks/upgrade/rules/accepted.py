"""What a version of Kubernetes no longer accepts of the settings of a cluster and its hosts. Pure.

A component that is given a flag, a feature gate or a value that it does not take ends at its start. For an API server that means minutes of a
crash loop and a rollback by kubeadm; for a kubelet a node that is lost some time after its restart. So it is judged before anything changes,
for every hop. What could not be read is a finding of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from runbooks.commands import kubelet_line
from runbooks.commands.kubeadm_config import ClusterSettings
from runbooks.commands.settings_look import MANIFESTS, UNIT, HostSettings
from runbooks.errors import RunbookError
from runbooks.inventory.model import Host
from runbooks.rules.finding import Finding, Severity, unread
from runbooks.text import counted, listed
from runbooks.upgrade.rules import mend, runtime, settings, tables
from runbooks.upgrade.rules.etcd_brought import brought
from runbooks.upgrade.rules.settings import Setting
from runbooks.upgrade.rules.tables import Kind, Minor, Row

TOPIC = "settings"
NO_MANIFEST = "no manifest of"
READ = ("config", "audit-policy-file")  # flags in manifests that name a file with an API version
CONTROL_PLANE = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd")


@dataclass(frozen=True, slots=True)
class Facts:
    """What was read, or the error: of each host, and of the cluster's ConfigMaps."""

    hosts: Mapping[Host, HostSettings | RunbookError]
    cluster: ClusterSettings | RunbookError


def findings(facts: Facts, now: Minor, target: Minor) -> list[Finding]:
    """Return the findings about an upgrade from ``now`` to ``target`` (minor versions), through every one in between.

    One "ok" when everything was read and nothing is refused.
    """
    cluster = facts.cluster if isinstance(facts.cluster, ClusterSettings) else None
    kept = settings.of_cluster(cluster) if cluster else settings.Read((), {})
    found = [*_limits(target), *_cluster(facts.cluster, kept, now, target)]
    judged = len(kept.settings)
    for host, seen in facts.hosts.items():
        if isinstance(seen, RunbookError):
            found.append(unread(TOPIC, host, seen, f"inv cluster.status; then this again: what {host} starts with is not known"))
            continue
        own, problems = of_host(host, seen, cluster)
        judged += len(own)
        found += problems
        found += [each for one in own if (each := refusal(host.name, one, now, target, cluster, kept.settings))]
        found += runtime.findings(host, seen, cluster, target)
    if all(each.severity in {"ok", "note"} for each in found):
        seen_ok = (
            f"{counted(judged, 'setting')} of {counted(len(facts.hosts), 'host')} and of the cluster: {_text(target)} takes them"
        )
        found.append(Finding("ok", topic=TOPIC, seen=seen_ok))
    return found


def refusal(
    host: str, setting: Setting, now: Minor, target: Minor, cluster: ClusterSettings | None, kept: Sequence[Setting] = ()
) -> Finding | None:
    """Return the finding for one setting, None when every version from ``now`` to ``target`` takes it, and the next one too.

    ``kept`` are the settings of the cluster: what stands there too is said once, there.
    """
    last = _last(setting, now, target, cluster)
    found = first_refused(setting, last)
    if not found:
        return _soon(host, setting, (last[0], last[1] + 1))
    row, version, gone = found
    if setting.place == "rewritten" and any(_same(setting, one) for one in kept):
        return None
    severity, why = _severity(setting, row, version, now, target, cluster)
    out = gone or (row.gone is not None and row.gone <= last)  # a value that is taken for now does not help for long
    fix = "" if severity == "note" else mend.line(setting, row, gone=out)
    return Finding(severity, topic=TOPIC, host=host, seen=_seen(setting, row, version, gone=gone), why=why, fix=fix)


def first_refused(setting: Setting, last: Minor) -> tuple[Row, Minor, bool] | None:
    """Return the first refusal up to the version ``last`` (of etcd for its settings), or None.

    It is the row, the version, and whether the item is gone (not only locked).
    """
    at: list[tuple[Row, Minor, bool]] = []
    for row in _rows(setting):
        if row.locked and setting.value.lower() != row.value and setting.kind == "gate" and setting.component != "kubeadm":
            at.append((row, row.locked, False))
        if row.gone:
            at.append((row, row.gone, True))
    return min((each for each in at if each[1] <= last), key=lambda each: each[1], default=None)


def _last(setting: Setting, now: Minor, target: Minor, cluster: ClusterSettings | None) -> Minor:
    """Return the last version that has to take a setting. kubeadm-config is written anew by every hop, so only the first one reads it as it is."""
    if setting.component == "etcd":
        return _etcd(target, cluster)
    return min(target, (now[0], now[1] + 1)) if setting.component == "kubeadm" and setting.kind == "api" else target


def _soon(host: str, setting: Setting, after: Minor) -> Finding | None:
    """Return a note about a setting that the version after the target does not take, where nothing else takes it out before."""
    found = first_refused(setting, after)
    if not found or setting.place == "rewritten" or setting.component == "kubeadm" or found[0].cleaned == after:
        return None
    row, version, gone = found
    fix = mend.line(setting, row, gone=gone)
    return Finding(
        "note", topic=TOPIC, host=host, seen=f"{_seen(setting, row, version, gone=gone)}, which is the next one", fix=fix
    )


def of_host(host: Host, seen: HostSettings, cluster: ClusterSettings | None) -> tuple[list[Setting], list[Finding]]:
    """Return the settings of a host, and the findings about what could not be read there."""
    read = settings.of_files(seen)
    found = [_unread(host, path, reason) for path, reason in {**seen.unread, **read.unread}.items() if path != UNIT]
    own = list(read.settings)
    line, problems = _line(host, seen)
    found += problems
    if line:
        own += settings.of_line(line)
        found += [_unread(host, path, "the unit needs it, and it is not there") for path in line.missing]
        configs = [flag.value for flag in line.flags if flag.name == "config"]
        found += [
            _unread(host, path, "the kubelet is told to read it, and it is not there") for path in configs if path in seen.missing
        ]
    named = [one.value for one in own if one.kind == "flag" and one.item in READ and one.file.startswith(MANIFESTS)]
    found += [_unseen(host, path) for path in named if path in seen.missing]
    if host.is_control_plane:
        external = cluster is not None and cluster.external_etcd
        wanted = [name for name in CONTROL_PLANE if not (name == "etcd" and external)]
        lacking = [name for name in wanted if name not in settings.programs(seen)]
        if lacking:
            found.append(_unread(host, "/etc/kubernetes/manifests", f"{NO_MANIFEST} {listed(lacking)} was read"))
    return own, found


# ---- parts


def _line(host: Host, seen: HostSettings) -> tuple[kubelet_line.Line | None, list[Finding]]:
    """Return the kubelet's command line: that of its next start, or else that of the process."""
    running = kubelet_line.Line(tuple((word, "the process that runs") for word in seen.running[1:])) if seen.running else None
    try:
        if not seen.unit:
            raise ValueError(seen.unread.get(UNIT, "systemd has no such unit"))  # noqa: TRY301 - one way out
        line = kubelet_line.line(seen.unit, seen.files)
    except ValueError as error:
        text = f"what the kubelet is started with is not known: {error}"
        fix = f"on {host}: systemctl cat kubelet; then compare its flags with the release notes by hand"
        return running, [Finding("warn" if running else "fail", topic=TOPIC, host=host.name, seen=text, fix=fix)]
    if running and running.as_words() != line.as_words():
        text = (
            "the kubelet that runs has other flags than its files: they were changed after its start, and count from its next one"
        )
        return line, [Finding("note", topic=TOPIC, host=host.name, seen=text, why=_changed(line, running))]
    if seen.stale_unit:
        text = "the kubelet's unit was changed, and systemd has not read it yet; the upgrade makes it do so"
        return line, [Finding("note", topic=TOPIC, host=host.name, seen=text)]
    return line, []


def _changed(line: kubelet_line.Line, running: kubelet_line.Line) -> str:
    new, old = ([flag.name for flag in each.flags] for each in (line, running))
    parts = {
        "new": [name for name in new if name not in old],
        "no longer there": [name for name in old if name not in new],
    }
    told = [f"{what}: {listed(f'--{name}' for name in dict.fromkeys(names))}" for what, names in parts.items() if names]
    return "; ".join(told) or "the same flags with other values or in another order"


def _cluster(read: ClusterSettings | RunbookError, kept: settings.Read, now: Minor, target: Minor) -> Iterator[Finding]:
    if isinstance(read, RunbookError):
        yield Finding(
            "fail",
            topic=TOPIC,
            seen=f"what kubeadm keeps in the cluster could not be read: {str(read).partition(chr(10))[0]}",
            fix=read.hint or "kubectl -n kube-system get configmap kubeadm-config",
        )
        return
    for file, reason in kept.unread.items():
        yield Finding("fail", topic=TOPIC, seen=f"{file}: {reason}", fix=f"{mend.EDIT} {file.removeprefix('ConfigMap ')}")
    if not read.kubelet:
        fix = "kubectl -n kube-system get configmap; kubeadm init phase upload-config kubelet writes it from a configuration"
        yield Finding("fail", topic=TOPIC, seen="there is no ConfigMap with the configuration of kubelets", fix=fix)
    for one in kept.settings:
        if each := refusal("", one, now, target, read, kept.settings if one.place == "rewritten" else ()):
            yield each
    yield from runtime.of_cluster(read, target)


def _severity(
    setting: Setting, row: Row, version: Minor, now: Minor, target: Minor, cluster: ClusterSettings | None
) -> tuple[Severity, str]:
    """Return how grave a refusal is where the setting stands, and why."""
    if setting.component == "kubeadm" and setting.kind == "gate":
        found: tuple[Severity, str] = "warn", "kubeadm upgrade only prints it; kubeadm init and kubeadm config validate refuse it"
    elif setting.kind == "field" and not row.value:
        found = "warn", "it is ignored with a line in the log; what it said does not happen any more"
    elif setting.place == "flags" and row.cleaned and now < row.cleaned <= target:
        found = "note", f"kubeadm {_text(row.cleaned)} takes it out itself"
    elif setting.place == "rewritten" and cluster:
        found = "note", "kubeadm writes this anew, without it: it stands in no ConfigMap of the cluster"
    elif setting.place == "rewritten":
        found = "fail", "kubeadm writes this anew from the cluster's ConfigMaps, which could not be read"
    elif setting.place == "patch":
        found = "fail", "kubeadm puts it back: the upgrade is given these patches"
    elif setting.component == "kubelet" and version > now:
        found = "fail", "the node seems to be Ready for a minute after the restart, then it is lost"
    else:
        found = "fail", ""
    return found


def _rows(setting: Setting) -> Iterator[Row]:
    table = tables.by_item()
    kinds: tuple[Kind, ...] = ("flag", "value") if setting.kind == "flag" else (setting.kind,)
    words = [each.strip() for each in setting.value.split(",")]
    values = {*words, *(each.partition("=")[0] for each in words)}  # --runtime-config has "GROUP/VERSION=true"
    for kind in kinds:
        for row in table.get((kind, setting.component, setting.item), ()):
            if row.kind == "gate" or not row.value or row.value in values:
                yield row


def _same(one: Setting, other: Setting) -> bool:
    return (one.component, one.kind, one.item) == (other.component, other.kind, other.item) and other.place == "cluster"


def _etcd(target: Minor, cluster: ClusterSettings | None) -> Minor:
    """Return the etcd that runs after the upgrade; the newest that the tables know when it is not known."""
    version = brought((*target, 0), cluster.etcd_tag if cluster else "").version
    return version[:2] if version else max(row.gone for row in tables.rows() if row.components == ("etcd",) and row.gone)


def _seen(setting: Setting, row: Row, version: Minor, *, gone: bool) -> str:
    return f"{setting.component}: {_named(setting, row, gone=gone)} ({setting.file}): {_refused_by(setting, row, version, gone=gone)}"


def _named(setting: Setting, row: Row, *, gone: bool) -> str:
    if setting.kind == "gate":
        return f"feature gate {setting.item}" + ("" if gone else f"={setting.value}")
    name = f"--{setting.item}" if setting.kind == "flag" else setting.item
    return f"{name}={row.value}" if row.value else name


def _refused_by(setting: Setting, row: Row, version: Minor, *, gone: bool) -> str:
    product = "etcd " if setting.component == "etcd" else ""
    newest = max(each for each in (row.locked, row.gone) if each)
    doubt = " (by its documents)" if row.documented and version == newest else ""
    if setting.kind == "gate" and not gone:
        return f"{product}{_text(version)} takes only {row.value}{doubt}"
    return f"{product}{_text(version)} no longer takes it{doubt}"


def _limits(target: Minor) -> Iterator[Finding]:
    if target > tables.LAST:
        seen = f"the tables of what is no longer taken end at {_text(tables.LAST)}: nothing is known about {_text(target)}"
        yield Finding("warn", topic=TOPIC, seen=seen, fix="read the release notes of that version, section Deprecation")


def _unread(host: Host, path: str, reason: str) -> Finding:
    return Finding("fail", topic=TOPIC, host=host.name, seen=f"{path}: {reason}", fix=f"on {host}: ls -l {path}")


def _unseen(host: Host, path: str) -> Finding:
    text = f"{path}: a manifest names it, and it is not on the host under this path: its API version is not known"
    return Finding("warn", topic=TOPIC, host=host.name, seen=text, fix=f"look where the volume of that manifest has {path}")


def _text(version: Minor) -> str:
    return f"{version[0]}.{version[1]}"
