"""kubeadm's own health check gives a Pod 15 s: what happens when that was too little."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from runbooks.commands import upgrade_kubeadm
from runbooks.commands.base import Answer
from runbooks.commands.upgrade_kubeadm import Progress
from runbooks.errors import OutcomeError
from runbooks.upgrade import kubeadm
from runbooks.upgrade.context import Upgrade
from runbooks.upgrade.rules.choices import Choices
from tests.support.fakes import master, site

pytestmark = pytest.mark.unit

TO = (1, 36, 3)


def ended(code: int, log: str) -> Progress:
    return upgrade_kubeadm.parse(Answer(0, f"unit inactive\nclock 1\ncode {code}\nlog {log}\n"))


TOO_QUICK = ended(1, '[ERROR CreateJob]: Job "upgrade-health-check" did not complete in 15s')
OTHER = ended(1, "[upgrade/apply] FATAL: couldn't upgrade control plane")
WELL = ended(0, "[upgrade/successful]")


class Host:
    """Its kubeadm ends as it is told to; `flags` are those that each run was given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *ends: Progress, pods_start: bool = True) -> None:
        self.flags: list[str] = []
        self.notes: list[str] = []
        self.ends = iter(ends)
        self.pods_start = pods_start
        monkeypatch.setattr(kubeadm, "missing_images", lambda *_: ())
        monkeypatch.setattr(kubeadm, "follow", lambda *_: next(self.ends))
        monkeypatch.setattr(kubeadm, "etcd_flags", lambda *_: ())
        monkeypatch.setattr(kubeadm.own_kubelet, "as_patch", lambda *_: None)
        monkeypatch.setattr(kubeadm, "probe", self.probe)
        monkeypatch.setattr(kubeadm.upgrade_kubeadm, "start", lambda action, version, words, **_: " ".join(words))

    def probe(self, *_: object) -> None:
        if not self.pods_start:
            raise OutcomeError("master1: a Pod did not start within 180 s")

    def upgrade(self) -> None:
        said = iter([WELL, "v2"] * 9)
        run: Any = SimpleNamespace(
            read=lambda *_: next(said),
            change=lambda _, command: self.flags.append(command) or True,
            note=lambda _, text: self.notes.append(text),
        )
        kubeadm.carry_out(Upgrade(site(), TO, Choices(to=TO)), run, master(1), "apply")


def test_a_pod_of_ours_proves_it_and_kubeadm_runs_again_without_its_check(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch, TOO_QUICK, WELL)
    host.upgrade()
    assert host.flags == ["", "--ignore-preflight-errors=CreateJob"]
    assert "15s" in host.notes[0]


def test_where_no_pod_starts_kubeadm_does_not_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch, TOO_QUICK, pods_start=False)
    with pytest.raises(OutcomeError, match="did not start"):
        host.upgrade()
    assert host.flags == [""]


@pytest.mark.parametrize("ends", [(OTHER,), (TOO_QUICK, OTHER), (TOO_QUICK, TOO_QUICK)])
def test_every_other_failure_is_told(monkeypatch: pytest.MonkeyPatch, ends: tuple[Progress, ...]) -> None:
    with pytest.raises(OutcomeError, match="exited 1") as caught:
        Host(monkeypatch, *ends).upgrade()
    assert ends[-1].log[0] in str(caught.value)
