"""Configurations of HAProxy and keepalived that anybody may have written: nothing of them is lost, and they are read as the programs do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.commands.haproxy_sections import Server, problem_of_conditions, sections, words
from runbooks.commands.keepalived_blocks import blocks, instances

pytestmark = pytest.mark.unit

ENDS = st.sampled_from(["\n", "\r\n", "\n\n", ""])
HAPROXY_LINES = st.sampled_from([
    "global", "defaults", "frontend shop", "frontend shop from web", "listen db 10.0.0.1:5432", "backend b", "userlist u",
    "  bind :80,:81 # twice", "\tserver one 10.0.0.1:80 check", "  # frontend no", "#global", "", "  user a password $5$x$y",
    '  acl x path "/a b#c"', "  acl y str frontend\\ z", "  http-request set-header X 'listen \"q'", '  odd "quote', ".if defined(X)", ".endif",
])  # fmt: skip
KEEPALIVED_LINES = st.sampled_from([
    "vrrp_instance a {", "vrrp_instance b", "{", "}", "  virtual_ipaddress { 10.0.0.9/24 }", "  interface eth0 # why {", "! vrrp_script no {",
    '  script "/bin/x {y} # z"', "include /etc/keepalived/*.conf", "$NAME = ${OTHER}", "@lb1 priority 200", "  one \\", "", "global_defs {",
    '  odd "quote', "} vrrp_script c {", "  auth_pass a!b",
])  # fmt: skip


@given(st.lists(st.tuples(st.one_of(HAPROXY_LINES, st.text(max_size=20)), ENDS), max_size=25))
def test_the_sections_of_any_text_are_the_text(lines):
    text = "".join(line + end for line, end in lines)
    found = sections(text)
    assert "".join(each.text for each in found) == text
    for each in found:
        assert words(text.split("\n")[each.line - 1])[:1] == ([each.kind] if each.kind else words(text.split("\n")[0])[:1])
        assert isinstance([*each.binds, *each.servers, *each.backends], list)


@given(st.lists(st.tuples(st.one_of(KEEPALIVED_LINES, st.text(max_size=20)), ENDS), max_size=25))
def test_the_blocks_of_any_text_are_the_text(lines):
    text = "".join(line + end for line, end in lines)
    found = blocks(text)
    assert "".join(each.text for each in found) == text
    assert len(instances(found)) == sum(each.kind == "vrrp_instance" for each in found)


def test_a_section_has_its_comments_binds_servers_and_back_ends():
    text = (
        "# ours\r\nglobal\r\n\tdaemon\r\n\r\n# the shop\r\nfrontend shop\r\n bind 10.0.0.9:80\r\n default_backend a\r\n"
        " use_backend b if { path /b }\r\n use_backend %[req.hdr(x)]\r\nbackend a\r\n server one ipv4@10.0.0.1:81 check\r\n"
        " server two [fd00::1]:82\r\n server three /run/x.sock\r\n server four 10.0.0.4\r\n"
    )
    _, shop, back = sections(text, "/h.cfg")
    assert shop.text.startswith("\r\n# the shop\r\n")
    assert (str(shop), shop.where, [str(each) for each in shop.binds]) == ("frontend shop", "/h.cfg:6", ["10.0.0.9:80"])
    assert shop.backends == ["a", "b"]
    assert back.servers == [
        Server("one", "10.0.0.1", 81),
        Server("two", "fd00::1", 82),
        Server("three", "", 0),
        Server("four", "10.0.0.4", 0),
    ]


@pytest.mark.parametrize(
    ("text", "reaches"),
    [
        ("frontend a\n.if defined(X)\n bind :80\n.endif\n", False),
        (".if defined(X)\nfrontend a\n bind :80\n.endif\n", True),
        ("frontend a\n.endif\n.if defined(X)\nbackend b\n", True),
    ],
)
def test_a_condition_over_several_sections_is_told(text, reaches):
    assert bool(problem_of_conditions(sections(text, "h.cfg"))) is reaches


CONF = """\
! of us
global_defs { router_id lb1 }
vrrp_script chk {   # }
    script "/bin/kill -0 {x} \\"y\\""
    weight 2
}
vrrp_instance VI_1
{
    state MASTER
    interface eth0
    virtual_router_id 51
    priority 110
    @lb2 priority 100
    advert_int 1.5
    authentication {
        auth_type PASS
        auth_pass mypassword
    }
    unicast_src_ip 10.0.0.1
    unicast_peer { 10.0.0.2 }
    virtual_ipaddress {
        10.1.1.100/24 dev eth0 label eth0:vip
        FD00:0::9
        # 10.9.9.9
    }
    track_script {
        chk \\
            weight 5
    }
}
include conf.d/*.conf
"""


def test_an_instance_is_read_as_keepalived_does():
    found = blocks(CONF, "/k.conf")
    assert [(each.kind, each.name, each.line) for each in found] == [
        ("global_defs", "", 2),
        ("vrrp_script", "chk", 3),
        ("vrrp_instance", "VI_1", 7),
        ("include", "conf.d/*.conf", 31),
    ]
    (one,) = instances(found)
    assert (one.interface, one.id, one.version, one.state, one.priority, one.advert_s) == ("eth0", 51, 0, "MASTER", 110, 1.5)
    assert (one.addresses, one.widths) == (("10.1.1.100", "fd00::9"), ("24", ""))
    assert (one.unicast_src, one.unicast_peers, one.scripts, one.conditional) == ("10.0.0.1", ("10.0.0.2",), ("chk",), True)
    assert one.auth_pass == "mypassword"
    assert "mypassword" not in repr(one)
