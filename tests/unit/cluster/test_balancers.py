"""Commands that change the control plane end with what the load balancers still need."""

from types import SimpleNamespace

import pytest

from runbooks.cluster import balancers
from runbooks.errors import DegradedError, UnreachableError
from tests.support import fakes
from tests.unit.cluster.test_verify import INGRESS, UP
from tests.unit.rules.test_lb import HOLDER, STANDBY

pytestmark = pytest.mark.unit


def told(seen):
    return seen if isinstance(seen, Exception) else dict(zip(("lb", "backends"), seen, strict=True))


def session(*, plan=False, **seen):
    """A session after its procedure has ended: the journal is closed, so only the display is there."""
    said = []
    run = SimpleNamespace(
        listener=SimpleNamespace(say=said.append),
        read_each=lambda probes, fresh: {host: told(seen[host.name]) for host in probes},
    )
    return SimpleNamespace(options=SimpleNamespace(plan=plan), site=fakes.site(), run=run, said=said)


def test_init_and_join_end_with_what_the_load_balancers_lack():
    well = (HOLDER, (*UP, *INGRESS))
    balancers.name_setup(session(lb1=well, lb2=well))
    balancers.name_setup(session(lb1=well, lb2=UnreachableError("lb2: no answer")))
    less = session(lb1=(HOLDER, (*UP[:2], *INGRESS)), lb2=(STANDBY, (*UP[:2], *INGRESS)))
    with pytest.raises(DegradedError, match="lb1, lb2: LB servers: api does not know master3") as raised:
        balancers.name_setup(less)
    assert (raised.value.hint, raised.value.exit_code) == ("inv lb.setup", 5)
    balancers.name_setup(session(plan=True))


def test_a_removal_says_what_is_left():
    done = session()
    balancers.name_left(done, fakes.master(1))
    balancers.name_left(done, fakes.site().workers[0])
    (only,) = done.said
    assert only.startswith("master1: the load balancers keep it in maintenance")
    assert only.endswith("delete its line from hosts.yaml, then inv lb.setup")
