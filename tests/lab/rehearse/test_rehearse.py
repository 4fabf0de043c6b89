"""A procedure is rehearsed on a twin that is made from a backup set, and nothing is left of the twin, however the rehearsal ends.

In the usual run one rehearsal is carried out to its end, of recover.control-plane: what builds its twin is itself the rehearsal. The long ones let the
site's own cluster stand still meanwhile (its hosts are frozen): no rehearsal needs it, but afterwards it takes a minute until it is well again.
"""

from __future__ import annotations

import json
import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lab import saves
from lab.control import Lab
from lab.names import Instance
from lab.saving import frozen
from rehearse.twin import place
from runbooks.text import percent
from tests.support.lab import SITE, Traces, name, traces
from tests.support.operator import Operator, sh
from tests.support.stock import WHOLE, counted
from tests.support.waiting import eventually

pytestmark = pytest.mark.lab

LAB = f"{name()[:16]}-r"
KUBECTL = "kubectl --kubeconfig=/etc/kubernetes/admin.conf"
MEMBER = ("recover.etcd-member", "--member", "master2")
OLD = "autoscaling/v2beta1"
HELD = f"""
{KUBECTL} create deployment alone --image=ha-lab/tools:1 -- sleep 100000
{KUBECTL} rollout status deployment/alone --timeout=300s
{KUBECTL} create poddisruptionbudget alone --selector=app=alone --min-available=1
{KUBECTL} apply -f - <<'...'
apiVersion: {OLD}
kind: HorizontalPodAutoscaler
metadata: {{name: alone, namespace: default}}
spec: {{maxReplicas: 1, scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: alone}}}}
...
{KUBECTL} -n kube-system get configmap kubeadm-config -o yaml >/root/config.yaml
sed '0,/^      extraArgs:$/s||&\\n        runtime-config: {OLD}=false|' /root/config.yaml | {KUBECTL} replace -f -
"""
FREED = f"""
{KUBECTL} delete deployment/alone poddisruptionbudget/alone hpa/alone
sed '/^  resourceVersion:/d; /^  uid:/d' /root/config.yaml | {KUBECTL} replace -f -
"""


@pytest.fixture(scope="module")
def clean() -> Iterator[Traces]:
    """What the machine has of the twin's lab before: nothing."""
    Lab(LAB).down()
    yield traces(LAB)
    Lab(LAB).down()


@pytest.fixture(scope="module")
def kept(saved: Operator, clean: Traces) -> Operator:
    """An operator with a set of the cluster and its stock."""
    saved.verified()
    saved.good("backup.run")
    return saved


@contextmanager
def standing_still(operator: Operator) -> Iterator[None]:
    with frozen(operator.lab.instance):
        yield
    operator.verified()


def report(said: str, errors: str) -> dict[str, Any]:
    """Return the report in what a rehearsal has printed for programs."""
    found: list[dict[str, Any]] = [each for each in map(json.loads, said.splitlines()) if each["event"] == "rehearsal"]
    assert len(found) == 1, said + errors
    return found[0]


def rehearsed(operator: Operator, *words: str, exits: int = 0, timeout_s: float = 900) -> dict[str, Any]:
    """Rehearse on the twin and return the report for programs."""
    done = operator.inv("rehearse", *words, "--lab", LAB, "--json", timeout_s=timeout_s)
    assert done.returncode == exits, done.stdout + done.stderr
    return report(done.stdout, done.stderr)


def left(clean: Traces) -> str:
    """Return what there is of the twin that was not there before; "" for nothing."""
    stores = Instance(LAB).stores
    commands = [path.parent.name for path in Path("/proc").glob("[0-9]*/environ") if f"RUNBOOKS_LAB={LAB}\0" in environ(path)]
    return "" if traces(LAB) == clean and not stores.exists() and not commands else f"{traces(LAB)} {stores.exists()} {commands}"


def environ(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


class TestFromOneSet:
    """The main path."""

    def test_what_cannot_be_rehearsed_is_refused_before_anything_is_built(self, kept: Operator, clean: Traces) -> None:
        for words, said in {
            ("certs.check",): "it only looks",
            ("lab.up",): "about the lab itself",
            ("doctor",): "it only looks",
            ("backup.decrypt", "--to", str(kept.directory / "plain")): "it writes the secrets of a set",
            ("recover.lb",): "recover.lb needs --host",
            ("certs.renew", "--backup", "20200101T000000Z"): "20200101T000000Z",
            ("upgrade.run", "--to", "1.21.0"): "--upgrade 1.21.0",
            ("recover.etcd-member", "--member", "worker1"): "--member worker1",
        }.items():
            done = kept.inv("rehearse", *words, "--lab", LAB)
            assert done.returncode in {2, 3}, done.stdout + done.stderr
            assert said in done.stderr
        assert not (kept.directory / "plain").exists()
        assert left(clean) == ""

    def test_a_rehearsal_that_is_killed_leaves_nothing(self, kept: Operator, clean: Traces) -> None:
        process = kept.start("rehearse", *MEMBER, "--lab", LAB)
        eventually(lambda: "recover.control-plane" in (kept.directory / "said").read_text(), True, 240)
        assert [path.stat().st_mode & 0o077 for path in (Instance(LAB).state, Instance(LAB).stores)] == [0, 0]
        assert left(clean)
        process.send_signal(signal.SIGKILL)
        process.wait()
        eventually(lambda: left(clean), "", 60)

    def test_the_recovery_of_a_whole_control_plane_is_rehearsed_from_the_set_alone(self, kept: Operator, clean: Traces) -> None:
        done = kept.inv("rehearse", "recover.control-plane", "--workers", "none", "--lab", LAB, "--json", timeout_s=900)
        found = report(done.stdout, done.stderr)
        assert (found["exit"], done.returncode, found["stopped"]) == (found["exit_on_twin"], found["exit"], "")
        assert found["verdict"] in {"it gets through", "it gets through, but not completely"}  # nobody has answered for worker1
        assert found["broken_before"] == ["master1, master2, master3: an empty machine of that name"]
        assert {each["outcome"] for each in found["steps"]} == {"changed", "ok", "nothing to do"}
        assert found["forecast_s"] > 0
        assert found["nodes_without_twin"] == 1
        assert (found["clients"], found["unmeasured"]) == (None, "nothing serves before it")
        assert (found["api"], found["api_answered"]) == ([], False)
        assert any("1 node of the set: worker1" in each for each in found["changed_on_the_twin"])
        assert any("worker1" in each for each in found["limits"])
        assert any("supplied by the lab: Kubernetes v1.20.2" in each for each in found["limits"])
        assert left(clean) == ""
        page = Path(found["page"])
        assert [stat.S_IMODE(path.stat().st_mode) for path in (page.parent, page, page.with_suffix(".json"))] == [
            0o700,
            0o600,
            0o600,
        ]
        assert "swordfish" not in page.read_text() + page.with_suffix(".json").read_text()


def test_a_removal_that_is_interrupted_is_finished_by_the_other_process(clean: Traces) -> None:
    """The second Ctrl-C of somebody who is impatient; a lab of one host stands for the twin."""

    class Impatient(Lab):
        def down(self) -> None:
            raise KeyboardInterrupt

    def carry_out() -> None:
        lab = Impatient(LAB)
        with place(lab, keep=lambda: False, tell=print):
            lab.up(SITE, ["lb1"])
            assert left(clean)

    with pytest.raises(KeyboardInterrupt):
        carry_out()
    assert left(clean) == ""


@pytest.mark.long
def test_an_upgrade_meets_a_budget_and_takes_an_api_away(kept: Operator, clean: Traces) -> None:
    """The plan sees the budget too. That nobody can use autoscaling/v2beta1 any more only the rehearsal finds: kubeadm-config says so since somebody edited it."""
    sh(kept, "master1", HELD)
    try:
        kept.good("backup.run")
        plan = kept.inv("upgrade.plan", "--to", "1.20.3", "--no-backup", "--json").stdout
        assert "the budget default/alone" in plan
        assert "horizontalpodautoscalers" not in plan
        with standing_still(kept):
            found = rehearsed(kept, "upgrade.run", "--to", "1.20.3", exits=3, timeout_s=1800)
    finally:
        sh(kept, "master1", FREED)
    assert (found["verdict"], found["exit_on_twin"], found["stopped"]) == ("a drain would stop it", 0, "at the drain of worker1")
    assert any("the budget default/alone" in each["seen"] for each in found["drains"] if each["severity"] == "fail")
    assert any(f"horizontalpodautoscalers in {OLD} are no longer served" in each for each in found["api"]), found["api"]
    assert any("1 workload runs" in each for each in found["changed_on_the_twin"])
    assert left(clean) == ""


@pytest.mark.long
def test_a_members_recovery_is_rehearsed(kept: Operator, clean: Traces) -> None:
    with standing_still(kept):
        found = rehearsed(kept, *MEMBER, "--no-backup", "--workers", "none")
    assert (found["verdict"], found["exit"], found["stopped"]) == ("it gets through", 0, "")
    assert found["broken_before"] == ["master2: etcd's data is deleted"]
    joined = next(each for each in found["steps"] if each["step"].startswith("master2: join"))
    assert joined["outcome"] == "changed"
    assert joined["forecast_s"] > 0
    assert found["clients"]["requests"] > 0
    assert (found["api"], found["api_answered"]) == ([], True)
    assert left(clean) == ""


@pytest.mark.long
def test_from_a_save_it_is_fast_and_what_was_foreseen_happens(kept: Operator, clean: Traces, tmp_path: Path) -> None:
    """The figures are printed: how long a rehearsal takes from a save, and how far the forecast is off."""
    there = set(saves.shelf().glob("rehearsal-*"))
    with standing_still(kept):
        built = rehearsed(kept, *MEMBER, "--rejoin", "--save")
        (save,) = set(saves.shelf().glob("rehearsal-*")) - there
        assert save.parent.stat().st_mode & 0o077 == 0
        found = rehearsed(kept, *MEMBER, "--rejoin", "--keep")
        try:
            assert counted(Operator(Lab(LAB), tmp_path)) == WHOLE
            again = kept.inv("rehearse", *MEMBER, "--lab", LAB)
            assert (again.returncode, "was kept" in again.stderr) == (3, True), again.stderr
        finally:
            Lab(LAB).down()
    kept.good("lab.forget", save.name)
    assert next(iter(found["built_s"])).startswith("from the save")
    assert found["changed_on_the_twin"] == built["changed_on_the_twin"]
    kept.done(*MEMBER, "--rejoin", timeout_s=600)
    took = json.loads(kept.good("runs.list", "--command", "recover.etcd-member", "--last", "1", "--json"))["seconds"]
    print(f"foreseen {found['forecast_s']} s ({found['forecast_from']}), took {took:.1f} s: {percent(found['forecast_s'], took)}")
    assert left(clean) == ""
