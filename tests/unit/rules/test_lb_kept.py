"""What stays of configurations that others wrote, what lb.setup replaces, and what it refuses."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.commands.haproxy_environment import Environment
from runbooks.commands.haproxy_sections import sections
from runbooks.commands.lb_config import binds
from runbooks.commands.lb_kept import Kept, kept, without
from runbooks.lb.files import lb_files
from runbooks.rules import lb_kept, vrrp_kept
from tests.support.fakes import example

pytestmark = pytest.mark.unit

SITE = example()
LB1 = SITE.load_balancers[0]
OURS = binds(next(file.content for file in lb_files(SITE, LB1, None) if file.path.endswith("haproxy.cfg")))
DOCUMENT = """\
global
    log         127.0.0.1:514 local0
    chroot      /var/lib/haproxy
    stats socket /run/haproxy/admin.sock mode 660 level admin
    daemon
    maxconn 2000

defaults
    mode tcp
    timeout connect 10s
    timeout client 1m
    timeout server 1m

# Statistics
frontend stats
    bind *:9000
    stats enable
    stats admin if TRUE

frontend k8s-api
    bind 10.1.1.100:6443
    default_backend k8s-api-backend

backend k8s-api-backend
    server master1 10.1.1.101:6443 check
    server master2 master2.example.org:6443 check

frontend web
    bind 10.1.1.100:80
    default_backend ingress

backend ingress
    server worker1 10.1.1.201:30080 check
"""
SHOP = """\

# the shop of the others
frontend shop
    bind *:8443
    default_backend shop

backend shop
    server one 10.1.1.50:8443
"""
VRRP = """\
global_defs {
    router_id old
    vrrp_version 2
    vrrp_strict
}
vrrp_script chk_haproxy {
    script "/bin/kill -0 1"
}
vrrp_script chk_shop {
    script "/bin/true"
}
vrrp_instance VI_1 {
    interface eth0
    virtual_router_id 51
    virtual_ipaddress {
        10.1.1.100/24 label eth0:vip
    }
    track_script {
        chk_haproxy
    }
    notify_master /usr/local/bin/told
}
# theirs
vrrp_instance shop {
    interface eth0
    virtual_router_id 77
    virtual_ipaddress {
        10.1.1.77
    }
    track_script {
        chk_shop
    }
}
"""


def test_of_the_document_nothing_stays():
    found = lb_kept.cut(SITE, DOCUMENT, {}, OURS)
    assert (found.problems, found.settings, found.sections) == ((), "", "")
    assert found.replaced == ("frontend stats", "frontend k8s-api", "frontend web", "backend k8s-api-backend", "backend ingress")
    assert found.lost == (
        "frontend stats: answers on 10.1.1.11:9000 only, no longer on *:9000",
        "frontend stats: the page is read-only and has no login",
    )


def test_what_is_somebody_elses_stays_with_its_settings():
    found = lb_kept.cut(SITE, DOCUMENT + SHOP, {}, OURS)
    assert found.problems == ()
    assert found.settings == "global\n    log         127.0.0.1:514 local0\n    chroot      /var/lib/haproxy\n    daemon\n"
    assert found.sections == DOCUMENT[DOCUMENT.index("\ndefaults") : DOCUMENT.index("\n# Statistics")] + SHOP
    assert "global: `stats socket /run/haproxy/admin.sock mode 660 level admin` is as lb.setup has it" in found.lost


def test_files_beside_keep_the_defaults_that_they_stand_below():
    found = lb_kept.cut(SITE, DOCUMENT, {"/etc/haproxy/conf.d/shop.cfg": SHOP}, OURS)
    assert [str(each) for each in sections(found.sections)] == ["defaults"]
    assert found.problems == ()


def test_sections_without_defaults_do_not_get_ours():
    assert lb_kept.cut(SITE, SHOP, {}, OURS).sections.startswith("# Nothing of ours is for what follows.\ndefaults\n")


def test_a_back_end_that_a_front_end_of_theirs_names_as_well_stays():
    more = "listen other\n    bind :7000\n    use_backend k8s-api-backend if { nbsrv(k8s-api-backend) gt 1 }\n"
    found = lb_kept.cut(SITE, DOCUMENT + more, {}, OURS)
    assert "backend k8s-api-backend" in found.sections
    assert "backend k8s-api-backend" not in found.replaced


def test_a_variable_in_an_address_at_a_port_that_is_not_ours_stays():
    found = lb_kept.cut(SITE, DOCUMENT + SHOP.replace("*:8443", "${SHOP}:8443"), {}, OURS)
    assert found.problems == ()
    assert "bind ${SHOP}:8443" in found.sections


def test_addresses_in_variables_are_read_as_haproxy_reads_them():
    known = Environment({"VIP": "10.1.1.100", "SHOP": None})
    theirs = DOCUMENT.replace("bind 10.1.1.100:6443", 'bind "${VIP}:6443"').replace("master1 10.1.1.101", 'master1 "$FIRST"')
    theirs = theirs.replace("    daemon\n", "    daemon\n    setenv FIRST 10.1.1.101\n    presetenv SHOP 10.1.1.100\n")
    found = lb_kept.cut(SITE, theirs + SHOP.replace("*:8443", '"${SHOP}:9443"'), {}, OURS, known)
    assert found.problems == ()
    assert "frontend k8s-api" in found.replaced
    assert 'bind "${SHOP}:9443"' in found.sections  # verbatim
    assert "    presetenv SHOP 10.1.1.100\n" in found.settings
    taken = lb_kept.cut(SITE, DOCUMENT, {"/etc/haproxy/conf.d/a.cfg": 'listen a\n    bind "$VIP:6443"\n'}, OURS, known)
    assert taken.problems[0].startswith(
        "/etc/haproxy/conf.d/a.cfg: listen a listens on 10.1.1.100:6443, where api of lb.setup does"
    )
    assert "it cannot be told which address" in lb_kept.cut(SITE, theirs, {}, OURS).problems[0]


def test_what_stays_is_read_with_the_variables_of_the_global_that_stays():
    theirs = Kept("global\n    setenv AT 10.1.1.100\n", 'defaults\nlisten a\n    bind "$AT:6443"\n')
    assert "listen a listens on 10.1.1.100:6443, where api of lb.setup does" in lb_kept.collisions(theirs, {}, OURS)[0]


def test_a_back_end_stays_where_a_variable_that_is_not_known_may_name_it():
    found = lb_kept.cut(SITE, DOCUMENT + 'listen other\n    bind :7000\n    default_backend "$B"\n', {}, OURS)
    assert "backend k8s-api-backend" in found.sections


def test_back_ends_stay_while_a_front_end_chooses_one_by_the_request_or_a_file_beside_names_them():
    more = "listen other\n    bind :7000\n    mode http\n    use_backend %[req.hdr(host),lower]\n"
    beside = {"/etc/haproxy/conf.d/a.cfg": "frontend other\n    bind :7000\n    default_backend k8s-api-backend\n"}
    for found in (lb_kept.cut(SITE, DOCUMENT + more, {}, OURS), lb_kept.cut(SITE, DOCUMENT, beside, OURS)):
        assert "backend k8s-api-backend" in found.sections
        assert "backend k8s-api-backend" not in found.replaced


def test_a_page_of_statistics_elsewhere_stays_under_another_name():
    found = lb_kept.cut(SITE, "defaults\nlisten stats\n    bind *:8500\n    stats uri /\n", {}, OURS)
    assert found.sections == "defaults\nlisten stats-kept\n    bind *:8500\n    stats uri /\n"
    assert found.problems == ()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (DOCUMENT.replace("10.1.1.101:6443", "10.1.1.99:6443"), "frontend k8s-api listens on 10.1.1.100:6443.*leads to 10.1.1.99:6443"),
        (DOCUMENT.replace(":30080", ":31080"), r"frontend web .*leads to 10.1.1.201:31080, which is no node of hosts.yaml at port 30080"),
        (DOCUMENT.replace("    stats enable\n    stats admin if TRUE\n", ""), "frontend stats .*load_balancer.stats_port.*serves something else"),
        (DOCUMENT.replace("bind 10.1.1.100:6443", "bind 10.1.1.100:6443,*:16443"), r"frontend k8s-api also listens on \*:16443"),
        (DOCUMENT.replace("bind 10.1.1.100:6443", "bind 10.1.1.100:6443\n    bind /run/x.sock"), "also listens on /run/x.sock"),
        (DOCUMENT.replace("maxconn 2000", "maxconn 20000") + SHOP, "write load_balancer.limits.maxconn: 20000"),
        (DOCUMENT + SHOP.replace("backend shop", "backend api"), "backend api has the name of a section of lb.setup"),
        ("listen stats\n bind *:8404\n stats uri /\n", "serves something else: give load_balancer.health_port another value"),
        (".if defined(X)\n" + DOCUMENT + ".endif\n", "stands before any section|a condition"),
        (DOCUMENT + "# ---- kept x\n", "marks of lb.setup"),
        (DOCUMENT + SHOP.replace("*:8443", "${SHOP}:6443"), r"frontend shop listens on \$\{SHOP\}:6443: it cannot be told which address"),
        (DOCUMENT + SHOP.replace("*:8443", "*:${PORT}"), r"frontend shop listens on \*:\$\{PORT\}: it cannot be told"),
    ],
)  # fmt: skip
def test_what_cannot_be_taken_over_is_said(text, why):
    found = lb_kept.cut(SITE, text, {}, OURS).problems
    assert re.search(why, "\n".join(found)), found


def test_the_api_in_a_file_that_lb_setup_never_changes_is_refused():
    (why,) = lb_kept.cut(SITE, "defaults\n", {"/etc/haproxy/conf.d/api.cfg": "listen k\n bind *:6443\n"}, OURS).problems
    assert why.startswith("/etc/haproxy/conf.d/api.cfg: listen k listens on *:6443, where api of lb.setup does (endpoint.port)")


def test_of_keepalived_the_instance_of_the_vip_is_replaced():
    found = vrrp_kept.cut(SITE, LB1, VRRP, {})
    assert found.problems == ()
    assert found.replaced == ("vrrp_instance VI_1", "vrrp_script chk_haproxy")
    assert found.lost == ("the VRRP instance VI_1: its notify_master is not called any more",)
    assert found.vrrp == "global_defs {\n    vrrp_version 2\n}\n" + VRRP[VRRP.index("vrrp_script chk_shop") : VRRP.index("vrrp_instance VI_1")] + VRRP[
        VRRP.index("# theirs") :
    ]  # fmt: skip
    assert vrrp_kept.cut(SITE, LB1, "global_defs { router_id x }\n", {}).vrrp == ""
    one_line = vrrp_kept.cut(SITE, LB1, "global_defs { router_id x\n notification_email { a@b } }\n", {})
    assert one_line.vrrp == "global_defs {\n    notification_email {\n        a@b\n    }\n}\n"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (VRRP.replace("virtual_router_id 77", "virtual_router_id 51"), "shop has the virtual_router_id 51 on eth0, and so has load_balancer.vrrp.id"),
        (VRRP.replace("10.1.1.100/24 label eth0:vip", "10.1.1.100/24\n        10.1.1.150"), "VI_1 also has 10.1.1.150: name it in load_balancer.vips"),
        (VRRP.replace("interface eth0", "interface bond0"), "VI_1 is on bond0, and hosts.yaml has eth0"),
        (VRRP + "vrrp_sync_group G {\n group {\n  VI_1\n  shop\n }\n}\n", "vrrp_sync_group G ties"),
        (VRRP.replace("chk_shop", "drain").replace("vrrp_script drain", "track_file drain"), "track_file drain has the name"),
        (VRRP.replace("    track_script", "    virtual_routes {\n        10.0.0.0/8 via 10.1.1.1\n    }\n    track_script", 1), "also brings virtual_routes"),
        (VRRP.replace("        10.1.1.77", "        ${SHOP_VIP}"), "shop: it cannot be told which addresses it has"),
        (VRRP.replace("        10.1.1.77", "        10.1.1.77\n        include more.conf"), "shop: it cannot be told what an `include` inside it brings"),
        (VRRP.replace("virtual_router_id 77", "virtual_router_id $ID"), "shop: it cannot be told which virtual_router_id"),
        (VRRP.replace("        10.1.1.77", "        10.1.1.77\n    }\n    virtual_ipaddress_excluded {\n        10.1.1.100"), "shop also has 10.1.1.77"),
        (VRRP + "virtual_server 10.1.1.100 6443 {\n lb_algo rr\n}\n", "virtual_server 10.1.1.100 6443 takes the connections"),
    ],
)  # fmt: skip
def test_what_of_keepalived_cannot_be_taken_over_is_said(text, why):
    found = vrrp_kept.cut(SITE, LB1, text, {}).problems
    assert re.search(why, "\n".join(found)), found


def test_a_virtual_server_elsewhere_stays():
    theirs = "virtual_server 10.1.1.77 6443 {\n    lb_algo rr\n}\n"
    found = vrrp_kept.cut(SITE, LB1, theirs, {})
    assert (found.problems, found.vrrp) == ((), theirs)


def test_an_included_file_with_the_vip_is_refused():
    (why,) = vrrp_kept.cut(SITE, LB1, "include /etc/keepalived/conf.d/*.conf\n", {"/etc/keepalived/conf.d/a.conf": VRRP}).problems
    assert "a.conf: the VRRP instance VI_1 has 10.1.1.100" in why


@given(
    st.lists(
        st.sampled_from([DOCUMENT, SHOP, "listen a\n bind :1", "userlist u\n", "# x\n", "\r\n", "defaults d from e\n"]),
        max_size=6,
    )
)
def test_taking_over_what_was_taken_over_changes_nothing(parts):
    found = lb_kept.cut(SITE, "".join(parts), {}, OURS)
    part = Kept(found.settings, found.sections, "")
    text = "ours\n" + part.marked("global") + "more\n" + part.marked("sections")
    again = kept(text, "")
    assert again.sections.rstrip("\n") == found.sections.rstrip("\n")
    assert again.marked("sections") == part.marked("sections")
    assert without(text) == "ours\nmore\n"
