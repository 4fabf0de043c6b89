"""What a procedure will write is tried before it deletes anything."""

from types import SimpleNamespace

import pytest

from runbooks.cluster import build
from runbooks.cluster.remove import remove_procedure
from runbooks.commands.admission import Admission
from runbooks.engine.steps import Procedure, Step
from runbooks.recover.member import procedure
from runbooks.recover.member.steps import RepairContext
from runbooks.rules.etcd_member import Repair
from runbooks.view import admission
from tests.support import fakes

pytestmark = pytest.mark.unit

SITE, MASTER, WORKER = fakes.site(), fakes.master(2), fakes.site().workers[0]
DELETES = ("remove", "take it out", "stop", "delete", "drain", "join as", "set its old data aside")


@pytest.mark.parametrize(
    "procedure",
    [
        build.init_procedure(build.Plan(SITE, SITE.nodes), None),
        build.join_procedure(build.Plan(SITE, (MASTER, WORKER))),
        remove_procedure(SITE, MASTER),
        remove_procedure(SITE, WORKER),
        procedure.replacement(SITE, MASTER),
        procedure.replacement(SITE, WORKER),
        *(
            Procedure("x", "x", procedure.steps(RepairContext(SITE, MASTER, ""), each, ""))
            for each in (Repair.REJOIN, Repair.REBUILD, Repair.GONE)
        ),
    ],
    ids=["init", "join", "remove master", "remove worker", "replace master", "replace worker", "rejoin", "rebuild", "gone"],
)
def test_before_anything_is_deleted(procedure):
    names = [step.name for step in procedure]
    tried = next(place for place, name in enumerate(names) if name.startswith("the API accepts"))
    others = () if procedure.key == "cluster.init" else ("no other member",)  # init only looks for them
    first = next(place for place, name in enumerate(names) if name.startswith((*DELETES, *others)))
    assert tried < first


@pytest.mark.parametrize(
    ("repair", "writes", "deletes"),
    [
        (Repair.REJOIN, {"a bootstrap token", "a Pod in kube-system"}, ""),
        (Repair.GONE, set(), "master2"),
        (
            Repair.REBUILD,
            {"a bootstrap token", "a Secret in kube-system", "a ConfigMap in kube-system", "a Pod in kube-system", "a Node"}
            | {"a Lease in kube-node-lease"},
            "master2",
        ),
    ],
)
def test_a_repair_tries_only_the_writes_that_it_needs(monkeypatch, repair, writes, deletes):
    """A webhook that refuses Nodes must not keep a dead member from being removed."""
    asked = []

    def look(run, api_host, tried, *, delete=""):
        asked.append(({each.what for each in tried}, delete))
        return Admission((), (), {})

    monkeypatch.setattr(admission, "look", look)
    context = RepairContext(SITE, MASTER, "")
    monkeypatch.setattr(context.survey, "api_host", lambda run, without=None: fakes.master(1))
    monkeypatch.setattr(context.survey, "nodes", lambda run, api_host: {"master2": None})
    (step,) = [
        each for each in procedure.steps(context, repair, "") if isinstance(each, Step) and each.name.startswith("the API")
    ]
    assert step.done(SimpleNamespace(note=None)) is True
    assert asked == [(writes, deletes)]
