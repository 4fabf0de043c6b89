"""What a procedure will write is tried before it deletes anything."""

import pytest

from runbooks.cluster import build
from runbooks.cluster.remove import remove_procedure
from runbooks.engine.steps import Procedure
from runbooks.recover.member import procedure
from runbooks.recover.member.steps import RepairContext
from runbooks.rules.etcd_member import Repair
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
