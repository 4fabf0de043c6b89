"""The settings that somebody has made for containerd, over another version of it: read before, and in force after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from runbooks.commands import files, runtime_dump
from runbooks.commands.prepare import CONTAINERD_CONFIG
from runbooks.commands.runtime_dump import Dump
from runbooks.commands.runtime_files import PARTS
from runbooks.engine.steps import Run
from runbooks.errors import PrecheckError
from runbooks.inventory.model import Host
from runbooks.rules import runtime_taken_over as rules
from runbooks.rules.runtime_settings import shown
from runbooks.rules.runtime_taken_over import Setting
from runbooks.text import first_few, listed

UNSAID: Final = "nothing was changed there: the new containerd does not say what it makes of its configuration"
ANEW: Final = (
    "give the same part for the new version, too (version = 3 for containerd 2.x) in kubernetes.containerd.files; then "
    "inv cluster.reconfigure --only containerd, which drains nothing for it; then again"
)
MIGRATE: Final = (
    "on that host `containerd config migrate` of the new version shows what it makes of a file: write these settings as it knows them, "
    "or take them out; then again"
)


def settings(run: Run, host: Host) -> tuple[Setting, ...]:
    """Return what somebody has set for the containerd of ``host``, in whatever file."""
    both = run.read(host, runtime_dump.look_both())
    return rules.own(both.dump, both.default)


def missing(run: Run, host: Host, before: Sequence[Setting]) -> str:
    """Say which settings of ``before`` are not in force on ``host`` now, "" when all are."""
    gone = rules.lost(before, run.read(host, runtime_dump.look())) if before else []
    return f"containerd runs without these settings: {'; '.join(first_few([shown(*each) for each in gone], 6))}" if gone else ""


def refuse_lost(run: Run, host: Host, before: Sequence[Setting], tried: Dump) -> None:
    """Raise PrecheckError when a setting of ``before`` is not in force by the dump of a containerd that was ``tried``; its files are named."""
    if not before:
        return
    if not tried:
        raise PrecheckError(f"{host}: {UNSAID}", hint="the same command asks again")
    lost = rules.lost(before, tried)
    if not lost:
        return
    paths = [CONTAINERD_CONFIG, *(each for each in runtime_dump.imports(run.read(host, runtime_dump.look())) if "*" not in each)]
    texts = {path: each.content for path, each in run.read(host, files.found(dict.fromkeys(paths))).items()}
    makers = {path: rules.files_of(path, texts) for path, _ in lost}
    lines = [shown(path, value) + (f" ({listed(makers[path])})" if makers[path] else "") for path, value in lost]
    ours = any(name.startswith(f"{PARTS}/") for names in makers.values() for name in names)
    raise PrecheckError(
        f"{host}: the new version is not installed there; nothing was changed\n"
        f"with it, containerd would run without these settings: {'; '.join(first_few(lines, 6))}",
        hint=ANEW if ours else MIGRATE,
    )
