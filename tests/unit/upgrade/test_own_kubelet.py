"""A kubelet with settings of its own over the upgrade to 1.25: the patch is there before the flags go, and no other host is touched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from runbooks.commands.base import Command, Probe
from runbooks.commands.files import File, Found
from runbooks.commands.settings_look import HostSettings
from runbooks.inventory.model import Host
from runbooks.upgrade import own_kubelet
from runbooks.upgrade.context import Upgrade
from runbooks.upgrade.rules.choices import Choices
from tests.support.fakes import site
from tests.unit.commands.test_kubelet_line import EXTRA, UNIT

pytestmark = pytest.mark.unit

PATCH = "/etc/kubernetes/patches/kubeletconfiguration-ha-runbooks-host+merge.yaml"
FLAGS = '# ha-runbooks: these flags come from hosts.yaml: --max-pods\nKUBELET_EXTRA_ARGS="--v=2 --max-pods=50"\n'


@dataclass
class Machine:
    """A host with its files; ``asked`` counts how often it was looked at."""

    files: dict[str, str]
    asked: int = 0
    notes: list[str] = field(default_factory=list)
    modes: dict[str, tuple[str, str]] = field(default_factory=dict)

    def read(self, _: Host, probe: Probe[Any]) -> HostSettings | dict[str, Found]:
        if str(probe.command).startswith("files-found"):
            return {path: Found(text, "0640", "root:adm") for path, text in self.files.items() if path == EXTRA}
        assert str(probe.command).startswith("systemctl cat kubelet")
        self.asked += 1
        return HostSettings(unit=UNIT, files=self.files)

    def place(self, _: Host, wanted: tuple[File, ...], __: Mapping[str, Any], ___: Command) -> None:
        self.files |= {each.path: each.content for each in wanted}
        self.modes |= {each.path: (each.mode, each.owner) for each in wanted}

    def note(self, _: Host, text: str) -> None:
        self.notes.append(text)


def upgrade(to: tuple[int, int, int], version: str = "1.24.9") -> tuple[Upgrade, Host]:
    name = site().workers[0].name
    hosts = tuple(msgspec.structs.replace(each, kubelet={"maxPods": 50}) if each.name == name else each for each in site().hosts)
    of = msgspec.structs.replace(site(), hosts=hosts, kubernetes=msgspec.structs.replace(site().kubernetes, version=version))
    return Upgrade(of, to, Choices(to=to)), of.host(name)


def test_first_the_patch_then_without_the_flags() -> None:
    one, host = upgrade((1, 25, 3))
    run = Machine({EXTRA: FLAGS})
    own_kubelet.as_patch(one, run, host)  # type: ignore[arg-type]
    assert run.files == {EXTRA: FLAGS, PATCH: "maxPods: 50\n"}
    own_kubelet.without_flags(one, run, host)  # type: ignore[arg-type]
    assert run.files == {EXTRA: 'KUBELET_EXTRA_ARGS="--v=2"\n', PATCH: "maxPods: 50\n"}
    assert run.modes == {PATCH: ("0600", "root:root"), EXTRA: ("0640", "root:adm")}, "the file of somebody else keeps its mode"
    for again in (own_kubelet.as_patch, own_kubelet.without_flags):
        again(one, run, host)  # type: ignore[arg-type]
    assert run.files == {EXTRA: 'KUBELET_EXTRA_ARGS="--v=2"\n', PATCH: "maxPods: 50\n"}


@pytest.mark.parametrize(
    ("to", "files", "asked"),
    [
        ((1, 24, 10), {EXTRA: FLAGS}, 0),
        (
            (1, 26, 0),
            {EXTRA: "KUBELET_EXTRA_ARGS=--v=2\n"},
            2,
        ),  # hosts.yaml was changed, and not brought about: not the upgrade's matter
    ],
)
def test_nothing_else_is_touched(to: tuple[int, int, int], files: dict[str, str], asked: int) -> None:
    one, host = upgrade(to)
    run = Machine(dict(files))
    other = next(each for each in one.site.nodes if each != host)
    for act in (own_kubelet.as_patch, own_kubelet.without_flags):
        act(one, run, host)  # type: ignore[arg-type]
        act(one, run, other)  # type: ignore[arg-type]
    assert (run.files, run.asked) == (files, asked)
