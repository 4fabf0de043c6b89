"""APIs that the target removes: requests, users, objects; and the table."""

from dataclasses import replace

import pytest

from runbooks.commands.api_use import ApiUse, Named, Objects, Requested, User
from runbooks.errors import CommandError
from runbooks.rules.finding import at_least
from runbooks.upgrade.rules.apis import Facts, findings, removed, wanted
from runbooks.upgrade.rules.tables import LAST, apis
from tests.support.fakes import lost, master

pytestmark = pytest.mark.unit

DAY = 86_400
BUDGETS = Requested("policy/v1beta1", "poddisruptionbudgets", "1.25")
QUIET = ApiUse(clock=10 * DAY, started=8 * DAY, audit="/var/log/audit.log since 2026-11-20", audited=True)
M1, M2 = master(1), master(2)


def said(found):
    return [f"{each.severity} {each.host}: {each.seen}" for each in found]


def judged(servers, objects=(), now=(1, 24), target=(1, 25)):
    return findings(Facts(servers, objects), now, target)


def test_the_table_is_in_order_and_each_row_once():
    rows = apis()
    assert [row.gone for row in rows] == sorted(row.gone for row in rows)
    assert len({(row.api, row.resource) for row in rows}) == len(rows)
    assert all((1, 21) <= row.gone <= LAST and row.source and row.instead != row.api for row in rows)
    assert all("/" in row.api and row.group == row.api.split("/")[0] for row in rows)


def test_what_is_gone_on_the_way_and_what_is_read_of_it():
    assert removed((1, 25), (1, 25)) == removed((1, 24), (1, 24)) == ()
    assert {row.resource for row in removed((1, 24), (1, 25))} >= {"poddisruptionbudgets", "podsecuritypolicies", "cronjobs"}
    read = wanted((1, 24), (1, 26))
    assert ("poddisruptionbudgets", "policy/v1beta1", "policy/v1") in read
    assert not {each[0] for each in read} & {"podsecuritypolicies", "events"}  # nothing has them instead; nobody's manifest
    assert not [each for each in read if each[1] == "autoscaling/v2beta2"]  # the hop to 1.26 reads these


def test_a_patch_release_removes_nothing_and_nothing_has_to_be_read():
    (only,) = judged({}, CommandError("m1: no"), now=(1, 24), target=(1, 24))
    assert only.severity == "ok"


def test_no_request_in_two_days_is_good_and_in_an_hour_proves_little():
    (good,) = judged({M1: QUIET, M2: QUIET})
    assert (good.severity, "2 d" in good.seen) == ("ok", True)
    (note,) = judged({M1: QUIET, M2: replace(QUIET, started=QUIET.clock - 3600)})
    assert note.severity == "note"
    assert "have not run for a day" in note.why


def test_a_request_is_told_with_its_users_and_with_what_is_not_known():
    seen = replace(QUIET, requested=(BUDGETS,))
    (warned,) = judged({M1: seen, M2: QUIET})
    assert said([warned]) == [
        "warn master1: poddisruptionbudgets were asked for by policy/v1beta1, which 1.25 no longer serves (counted on master1 in 2 d)"
    ]
    assert "the end of the audit logs has no such request" in warned.why
    assert warned.fix.startswith("let its users take policy/v1:")
    users = (
        User("helm", "helm/3", 3, BUDGETS),
        User("helm", "helm/3", 2, BUDGETS),
        User("other", "x", 9, replace(BUDGETS, resource="y")),
    )
    (named,) = judged({M1: replace(seen, users=users)})
    assert named.why == "by the audit log: helm (helm/3, 5 times)"
    (blind,) = judged({M1: replace(seen, audited=False, audit="it writes none")})
    assert "by whom is not known (it writes none)" in blind.why


def test_what_a_later_or_an_earlier_version_removes_is_not_told():
    seen = replace(
        QUIET, requested=(replace(BUDGETS, removed="1.26"), replace(BUDGETS, removed="1.24"), replace(BUDGETS, removed=""))
    )
    assert [each.severity for each in judged({M1: seen})] == ["ok"]
    assert len(at_least("warn", judged({M1: seen}, target=(1, 26)))) == 1


def test_what_could_not_be_read_is_a_failure_and_never_ok():
    for servers in ({M1: lost(M1), M2: QUIET}, {M1: replace(QUIET, error="refused")}):
        found = judged(servers)
        assert [each.severity for each in found] == ["fail"]
    assert [each.severity for each in judged({M1: QUIET}, CommandError("m1: no", hint="do"))] == ["fail"]
    assert judged({}) == []  # no API server: cluster.verify tells it


def test_objects_of_a_kind_that_is_gone_altogether():
    seen = replace(QUIET, objects={"podsecuritypolicies.policy": 3, "poddisruptionbudgets.policy": 9})
    (warned,) = judged({M1: seen, M2: seen})
    assert warned.seen == "3 objects of podsecuritypolicies.policy are stored, and 1.25 has no such kind any more"


def test_objects_that_were_written_by_the_old_api():
    managers = (("helm", "2026-11-01T00:00:00Z"), ("kube-controller-manager", "2026-11-02T00:00:00Z"))
    objects = (
        Named("shop/a", managers, applied=False),
        Named("shop/b", (("kubectl-client-side-apply", "2026-11-03T00:00:00Z"),), applied=True),
    )
    found = judged({M1: QUIET}, (Objects("poddisruptionbudgets", "policy/v1beta1", objects),))
    assert said(found) == [
        "warn : helm has written 1 object of poddisruptionbudgets by policy/v1beta1, last at 2026-11-01T00:00:00Z: shop/a",
        "warn : the manifests of 1 object of poddisruptionbudgets are written for policy/v1beta1: shop/b",
    ]
    found = judged({M1: QUIET}, (Objects("x", "policy/v1beta1", (), "forbidden"),))
    assert said(found) == ["warn : x could not be listed: forbidden"]
