"""Which hosts lb.rollback --original is for."""

import pytest

from runbooks.commands.files import Found
from runbooks.commands.lb_paths import HAPROXY_CFG, OURS
from runbooks.errors import PrecheckError
from runbooks.lb.former import _without_original
from tests.support.fakes import lb

pytestmark = pytest.mark.unit

THEIRS = {HAPROXY_CFG: Found("frontend shop\n", "0644", "root:root")}
OWN = {HAPROXY_CFG: Found(f"# {OURS}\n", "0644", "root:root")}
KEPT = "/var/lib/ha-runbooks/lb/generations/1Z"


@pytest.mark.parametrize("there", [{}, OWN, THEIRS])
def test_a_host_without_an_original_is_left_out(there):
    assert _without_original({lb(1): THEIRS, lb(2): there}, {lb(1): KEPT, lb(2): ""}) == [lb(2)]


def test_all_have_one():
    assert _without_original({lb(1): THEIRS, lb(2): THEIRS}, {lb(1): KEPT, lb(2): KEPT}) == []


@pytest.mark.parametrize(("there", "said"), [(THEIRS, "every load balancer still has"), (OWN, "no load balancer has kept")])
def test_none_has_one(there, said):
    with pytest.raises(PrecheckError, match=said):
        _without_original({lb(1): THEIRS, lb(2): there}, {lb(1): "", lb(2): ""})
