"""Doctor, cluster.verify, cluster.status and etcd.status name the same command for a host in the same state."""

from dataclasses import replace

import pytest

from runbooks.cluster.rules import status
from runbooks.doctor.rules import hosts as doctor
from runbooks.errors import CommandError, NotLetIn, UnreachableError
from runbooks.etcd import status as etcd_status
from runbooks.rules import next_command, verify
from tests.unit.cluster.test_status import EMPTY as STATUS_EMPTY
from tests.unit.cluster.test_status import seen as statuses
from tests.unit.cluster.test_verify import EMPTY, LB1, M2, SITE, W1, cluster, etcd_view, node

pytestmark = pytest.mark.unit

OFF = UnreachableError("master2 (10.1.1.102): no answer", hint="check that the host is switched on")
REFUSED = NotLetIn("master2 (10.1.1.102): login as ops was refused", hint="check ssh.user and ssh.key in hosts.yaml")
NEW_KEY = UnreachableError("master2: its host key is not the one", hint="find out which: inv site.trust --host master2 --replace")
UNKNOWN_KEY = UnreachableError("master2: its host key is not known", hint="inv site.trust --host master2")
SLOW = CommandError("master2: `verify-host` did not finish in 30 s and was ended")


@pytest.mark.parametrize(
    ("error", "fix"),
    [
        (
            OFF,
            "switch it on, or repair its network; if it is lost, put an empty machine of the same name there, then: inv recover.node",
        ),
        (REFUSED, "check ssh.user and ssh.key in hosts.yaml"),  # it answers: it is not lost
        (NEW_KEY, "inv site.trust --host master2 --replace, then inv recover.node --host master2"),
        (UNKNOWN_KEY, "inv site.trust --host master2"),
        (SLOW, "log in to 10.1.1.102 by hand"),
    ],
)
def test_a_host_that_does_not_answer(error, fix):
    (by_doctor,) = doctor.silent(SITE, {M2: error})
    (by_verify,) = verify.hosts({M2: error})
    by_status, *_ = status.problems(SITE, statuses(master2=error), etcd_view(), cluster())
    assert by_doctor.fix == by_verify.fix == by_status.fix == etcd_status.after({M2: error}, ["one problem"])
    assert by_doctor.fix.startswith(fix)


@pytest.mark.parametrize("host", [M2, W1])
@pytest.mark.parametrize("remembered", [True, False])
def test_a_host_that_is_in_no_cluster(host, remembered):
    """It is remembered by its Node, or by its member of etcd."""
    nodes = tuple(node(each) for each in SITE.nodes if each != host or (remembered and not host.is_control_plane))
    view = etcd_view() if remembered else replace(etcd_view(), said={})
    known = verify.remembered(SITE, view, nodes)
    assert (host in known) == remembered
    (by_doctor,) = doctor.outside({host: EMPTY}, known)
    (by_verify,) = verify.hosts({host: EMPTY}, known)
    found = status.problems(SITE, statuses(**{host.name: STATUS_EMPTY}), view, cluster(nodes=nodes))
    by_status = next(each for each in found if each.host == host.name)
    command = f"inv recover.node --host {host}" if remembered else f"inv cluster.join --host {host}"
    assert {by_doctor.fix, by_verify.fix, by_status.fix} == {command}
    assert len({by_doctor.seen, by_verify.seen, by_status.seen}) == 1
    assert status.next_look(cluster(nodes=nodes), [by_status]) == command


def test_with_several_problems_etcd_status_leaves_the_cause_to_the_doctor():
    assert etcd_status.after({M2: OFF}, ["one", "two"]).startswith("inv doctor")
    assert etcd_status.after({}, ["one"]).startswith("inv doctor")


def test_a_load_balancer_is_replaced_by_its_own_command():
    assert next_command.no_answer(LB1).endswith("inv recover.lb --host lb1")
