"""What of somebody else's configuration stands in our files, and how a pair gets over to them."""

from __future__ import annotations

import re
from dataclasses import replace
from ipaddress import ip_address

import msgspec
import pytest

from runbooks.commands import lb_kept
from runbooks.commands.files import File, Found
from runbooks.commands.lb_claims import Claims, Present
from runbooks.commands.lb_kept import Kept
from runbooks.commands.lb_paths import HAPROXY_CFG, KEEPALIVED_CONF
from runbooks.errors import PrecheckError
from runbooks.inventory.settings_lb import Vip
from runbooks.lb import claims as gates
from runbooks.lb import former, steps
from runbooks.lb.files import lb_files
from runbooks.lb.taken import apart, away, changes_hands, deaf_in_the_end, moves, taken, unknown_holder
from runbooks.lb.wanted import Wanted, kept_in
from runbooks.recover.lb import files_of_others
from runbooks.rules import lb_claims as claim_rules
from tests.support.fakes import lb, site
from tests.support.foreign_lb import BESIDE, INSIDE, files_of

pytestmark = pytest.mark.unit

LB1, LB2 = lb(1), lb(2)
WRITTEN = files_of("lb1", "document-lb", "shop", INGRESS="no", **INSIDE)
THEIRS = {path: WRITTEN[path] for path in (HAPROXY_CFG, KEEPALIVED_CONF)}
VRRP = THEIRS[KEEPALIVED_CONF]
DOCUMENT_VRRP = files_of("lb2", "document-lb", INGRESS="no")[KEEPALIVED_CONF]
SHOP, SHOP_VRRP = (files_of("lb1", "shop", **BESIDE)[BESIDE[name]] for name in ("CFG", "CONF"))


def claims(texts, *, default=False, **more) -> Claims:
    files = {path: Present(text, default) for path, text in texts.items()}
    return Claims(listeners=(), files=files, named={}, running={}, **more)


def texts(kept: Kept) -> dict[str, str]:
    return {file.path: file.content for file in lb_files(site(), LB1, None, kept)}


def test_nothing_kept_changes_no_byte():
    assert lb_files(site(), LB1, None, lb_kept.NOTHING) == lb_files(site(), LB1, None)


def test_what_stays_is_in_our_files_and_found_there_again():
    found = taken(site(), LB1, claims(THEIRS))
    assert found.problems == ()
    assert found.kept.named == ["shop (*:8443)", "the VRRP instance shop"]
    files = {file.path: file for file in lb_files(site(), LB1, None, found.kept)}
    cfg = files[HAPROXY_CFG].content
    assert files[HAPROXY_CFG].mode == "0600"
    assert SHOP in cfg
    assert SHOP_VRRP in files[KEEPALIVED_CONF].content
    # Theirs decides how the process runs; only once, as HAProxy refuses two.
    for word in ("chroot", "user", "group"):
        assert len(re.findall(rf"(?m)^ +{word} +\S+$", cfg)) == 1, word
    again = taken(site(), LB1, claims({path: file.content for path, file in files.items()}))
    assert texts(again.kept) == texts(found.kept)
    assert again.problems == ()
    there = {path: Found(file.content, file.mode, file.owner) for path, file in files.items()}
    assert texts(kept_in(there)) == texts(found.kept)
    assert claim_rules.foreign(site(), LB1, claims({path: files[path].content for path in THEIRS})) == []


def test_a_section_outside_the_marks_is_still_somebody_elses():
    cfg = texts(taken(site(), LB1, claims(THEIRS)).kept)[HAPROXY_CFG]
    (line,) = claim_rules.foreign(site(), LB1, claims({HAPROXY_CFG: f"{cfg}\nlisten late\n    bind *:7000\n"}))
    assert "somebody has added late (*:7000)" in line
    broken = cfg.replace("# ---- end of kept sections", "# gone")
    assert "shop (*:8443)" in claim_rules.foreign(site(), LB1, claims({HAPROXY_CFG: broken}))[0]


def test_what_was_added_to_a_file_of_ours_is_said_to_be_lost():
    cfg = texts(taken(site(), LB1, claims(THEIRS)).kept)[HAPROXY_CFG]
    want = Wanted(site(), LB1, lb_files(site(), LB1, None), kept=lb_kept.NOTHING)
    with pytest.raises(PrecheckError) as raised:
        gates.refuse([(want, claims({HAPROXY_CFG: f"{cfg}\nlisten late\n    bind *:7000\n"}))])
    assert f"lb1: does not stay, as it was added to a file of lb.setup ({HAPROXY_CFG}): late (*:7000)" in str(raised.value.hint)


def test_marks_that_cannot_be_read_are_refused_also_with_the_flag():
    """Nothing of what stands between them may be lost."""
    ours = texts(taken(site(), LB1, claims(THEIRS)).kept)
    part = lb_kept.Kept("", "listen more\n    bind *:7000\n").marked("sections")
    for path, wrong, why in (
        (HAPROXY_CFG, ours[HAPROXY_CFG].replace("# ---- end of kept global", "# gone"), "do not belong together"),
        (HAPROXY_CFG, ours[HAPROXY_CFG] + part, "has more than one part `# ---- kept sections`"),
        (KEEPALIVED_CONF, ours[KEEPALIVED_CONF].replace("# ---- end of kept vrrp", "# gone"), "do not belong together"),
    ):
        there = claims({**ours, path: wrong})
        assert [each for each in taken(site(), LB1, there).problems if each.startswith(f"{path}: ") and why in each], why
        want = Wanted(site(), LB1, lb_files(site(), LB1, None), kept=lb_kept.NOTHING, take_over=True)
        for each in (want, replace(want, take_over=False)):
            with pytest.raises(PrecheckError, match=why) as raised:
                gates.refuse([(each, there)])
            assert "--take-over" not in str(raised.value.hint)


def test_parts_that_changed_since_they_were_read_are_not_overwritten():
    ours = texts(taken(site(), LB1, claims(THEIRS)).kept)
    kept = taken(site(), LB1, claims(ours)).kept
    want = Wanted(site(), LB1, lb_files(site(), LB1, None, kept), kept=kept)
    gates.still_kept(want, claims(ours))
    later = claims({**ours, HAPROXY_CFG: ours[HAPROXY_CFG].replace("is open", "is shut")})
    for each, there in ((want, later), (replace(want, kept=lb_kept.NOTHING), claims(ours))):  # as when the host did not answer
        with pytest.raises(PrecheckError, match=r"lb1: the parts .* have changed since this command has read them"):
            gates.still_kept(each, there)
    gates.still_kept(replace(want, kept=None), later)  # a rollback


def test_whose_addresses_are_away_while_an_lb_stands_aside_is_said():
    kept = taken(site(), LB1, claims(THEIRS)).kept
    assert away(kept, [claims(THEIRS)]) == []
    assert away(kept, [claims({}, included={"/etc/keepalived/a.conf": VRRP})]) == []
    assert away(kept, [claims({KEEPALIVED_CONF: DOCUMENT_VRRP})]) == [
        "the VRRP instance shop is on no other load balancer: while keepalived stands aside here, nobody has 10.1.1.77"
    ]


def test_a_rollback_never_ends_with_two_kinds_of_keepalived():
    ours = texts(lb_kept.NOTHING)[KEEPALIVED_CONF]
    assert deaf_in_the_end(site(), {LB1: VRRP, LB2: ours}) == ([LB1], [LB2])
    assert deaf_in_the_end(site(), {LB1: VRRP, LB2: VRRP}) == ([], [])
    assert deaf_in_the_end(site(), {LB1: ours, LB2: ours}) == ([], [])
    assert deaf_in_the_end(site(), {LB1: SHOP_VRRP, LB2: ours}) == ([], [])  # not our VIP
    before = [Wanted(site(), LB1, (File(KEEPALIVED_CONF, VRRP),), take_over=True)]
    left = {LB2: {KEEPALIVED_CONF: Found(ours, "0600", "root:root")}}
    with pytest.raises(PrecheckError, match="would both hold the VIP"):
        former.refuse_two_masters(site(), before, left, original=True)
    former.refuse_two_masters(site(), before, {LB2: {}}, original=True)


def test_the_packages_own_file_stays_for_what_stands_beside_it():
    found = taken(
        site(), LB1, claims({HAPROXY_CFG: "defaults\n    mode http\n"}, default=True, beside={"/etc/haproxy/conf.d/a.cfg": SHOP})
    )
    assert found.kept.sections == "defaults\n    mode http\n"
    alone = taken(site(), LB1, claims({HAPROXY_CFG: "defaults\n    mode http\n"}, default=True))
    assert alone.kept == lb_kept.NOTHING


def test_refused_with_what_would_stay_and_allowed_with_the_flag():
    def want(*, take_over):
        return Wanted(site(), LB1, lb_files(site(), LB1, None), kept=lb_kept.NOTHING, take_over=take_over)

    with pytest.raises(PrecheckError) as raised:
        gates.refuse([(want(take_over=False), claims(THEIRS))])
    assert "lb1: stays as it is: shop (*:8443), the VRRP instance shop" in str(raised.value.hint)
    gates.refuse([(want(take_over=True), claims(THEIRS))])
    met = {**THEIRS, KEEPALIVED_CONF: VRRP.replace("virtual_router_id 77", "virtual_router_id 51")}
    with pytest.raises(PrecheckError, match="shop has the virtual_router_id 51 on eth0"):
        gates.refuse([(want(take_over=True), claims(met))])
    # A rollback brings back what ran before; it is not judged by what hosts.yaml says now.
    gates.refuse([(replace(want(take_over=True), kept=None), claims(met))])


def test_only_between_ours_and_theirs_the_pair_does_not_hear_each_other():
    ours = texts(lb_kept.NOTHING)[KEEPALIVED_CONF]
    both = {LB1: VRRP, LB2: VRRP}
    assert apart(site(), both, dict.fromkeys(both, ours))
    assert apart(site(), {LB1: VRRP, LB2: ours}, dict.fromkeys(both, ours))  # one is done
    assert apart(site(), dict.fromkeys(both, ours), both)  # back
    assert not apart(site(), dict.fromkeys(both, ours), dict.fromkeys(both, ours))
    assert apart(site(), {LB1: VRRP}, dict.fromkeys(both, ours))  # LB2 is new
    assert not apart(site(), {LB1: "! empty\n", LB2: ""}, dict.fromkeys(both, ours))
    assert not apart(site(), dict.fromkeys(both, SHOP_VRRP), dict.fromkeys(both, ours))  # another VIP


def with_shop():
    """The site whose hosts.yaml has got the shop's address."""
    before = site()
    vip = Vip(name="shop", address=ip_address("10.1.1.77"), vrrp_id=77)
    return msgspec.structs.replace(before, load_balancer=msgspec.structs.replace(before.load_balancer, vips=(vip,)))


def test_an_address_of_theirs_in_hosts_yaml_is_refused_and_replaced_with_the_flag():
    ours = texts(taken(site(), LB1, claims(THEIRS)).kept)
    there = claims({path: ours[path] for path in THEIRS})
    assert moves(site(), there) == []
    found = taken(with_shop(), LB1, there)
    assert (found.kept.vrrp, found.replaced, found.problems) == ("", ("vrrp_instance shop",), ())
    kept = kept_in({path: Found(ours[path], "0600", "root:root") for path in THEIRS})
    without, with_flag = (
        Wanted(with_shop(), LB1, lb_files(with_shop(), LB1, None, each), kept=each, take_over=flag)
        for each, flag in ((kept, False), (found.kept, True))
    )
    with pytest.raises(
        PrecheckError, match=r"not from lb\.setup the VRRP instance shop has 10\.1\.1\.77, as hosts.yaml has now"
    ) as raised:
        gates.refuse([(without, there)])
    assert "--take-over" in str(raised.value.hint)
    gates.refuse([(with_flag, there)])
    gates.still_kept(with_flag, there)


def test_where_an_address_changes_hands_the_pair_does_not_hear_each_other():
    plain = texts(lb_kept.NOTHING)[KEEPALIVED_CONF]
    theirs = texts(taken(site(), LB1, claims(THEIRS)).kept)[KEEPALIVED_CONF]
    own = next(file.content for file in lb_files(with_shop(), LB1, None) if file.path == KEEPALIVED_CONF)
    assert [changes_hands(*each) for each in ((theirs, own), (own, theirs), (plain, own), (theirs, plain), (own, own), (VRRP, own))] == [
        True, True, False, False, False, False,
    ]  # fmt: skip
    # Its lines were deleted, and an LB has it all the same.
    both, has = {LB1: plain, LB2: plain}, {LB2: ["10.1.1.77"]}
    assert unknown_holder(both, has, dict.fromkeys(both, own))
    assert not unknown_holder(both, {}, dict.fromkeys(both, own))
    assert not unknown_holder(dict.fromkeys(both, own), has, dict.fromkeys(both, own))
    assert not unknown_holder(dict.fromkeys(both, theirs), has, dict.fromkeys(both, theirs))
    assert not unknown_holder(both, has, both)


def test_what_stays_in_a_file_of_ours_keeps_every_byte():
    part = "# mine\n\nvrrp_script a {\n  script x\n}\n! at the end\n"
    file = next(each for each in lb_files(site(), LB1, None, Kept("", "", part)) if each.path == KEEPALIVED_CONF)
    assert taken(with_shop(), LB1, claims({KEEPALIVED_CONF: file.content})).kept.vrrp == part


def test_the_order_of_a_switch():
    wanted = [Wanted(site(), host, lb_files(site(), host, None)) for host in (LB2, LB1)]
    titles = [step.title for step in steps.switch(wanted)]
    assert titles == [
        "lb2: stand aside while the other LB changes",
        "lb2: check and install the configuration",
        "lb2: run haproxy with this configuration",
        "lb1: check and install the configuration",
        "lb1: run haproxy with this configuration",
        "lb1: run keepalived with this configuration",
        "lb1: serves: VRRP, stats, metrics",
        "lb1: holds the VIP",
        "lb2: run keepalived with this configuration",
        "lb2: serves: VRRP, stats, metrics",
    ]


def test_a_new_lb_is_told_of_the_files_that_others_read():
    other = claims({}, beside={"/etc/haproxy/conf.d/shop.cfg": SHOP}, included={"/etc/keepalived/conf.d/shop.conf": VRRP})
    (line,) = files_of_others(LB2, {LB1: other, LB2: claims({})})
    assert line.startswith(
        "lb1 also reads /etc/haproxy/conf.d/shop.cfg, /etc/keepalived/conf.d/shop.conf, and lb2 has no such file"
    )
    assert files_of_others(LB2, {LB1: other, LB2: other}) == []
    assert files_of_others(LB2, {LB1: PrecheckError("silent"), LB2: other}) == []
