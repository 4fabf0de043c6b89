"""The operator's own sections of haproxy.cfg: what is refused before any host is touched, and how they stand in the file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as changed

from runbooks.commands import lb_config, lb_own
from runbooks.commands.files import File, diff
from runbooks.commands.lb_claims import Claims, Present
from runbooks.commands.lb_paths import HAPROXY_CFG
from runbooks.errors import InventoryError
from runbooks.inventory.model import Site
from runbooks.lb.files import lb_files
from runbooks.lb.files import problems as of_site
from runbooks.lb.wanted import Wanted
from runbooks.rules import firewall, lb_claims, lb_sections
from tests.support.fakes import lb, site

pytestmark = pytest.mark.unit

LB1 = lb(1)
OURS = lb_config.binds({file.path: file.content for file in lb_files(site(), LB1, None)}[HAPROXY_CFG])
GOOD = """\
# the shop
userlist staff
    user anna password $6$abc$def
listen shop
    mode http
    bind 10.1.1.100:8080
    bind 127.0.0.1:8081
    http-request auth unless { http_auth(staff) }
    server worker1 10.1.1.201:8081 check
backend spare
    server worker2 10.1.1.202:8081
"""


def refused(text: str, path: str = "/site/own.cfg") -> list[str]:
    return [message for _, message in lb_sections.problems({path: text}, OURS)]


def test_sections_of_the_operator_are_taken():
    assert refused(GOOD) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("listen a\nglobal\n", "2: a section global would change"),
        ("defaults\n", "1: a section defaults would change"),
        ("defaults web from other\n", "1: a section defaults would change"),
        ("  bind :1\n", "1: `bind` stands before any section"),
        ("frontend stats\n", "1: stats is the name of a section of lb.setup"),
        ("backend api-unchecked\n", "1: api-unchecked is the name of a section of lb.setup"),
        ("listen a\nbackend a\n", "2: a is already the name of a section (own.cfg, line 1)"),
        ("listen a\n\n  bind :9000\n", "3: *:9000 is where stats"),
        ("backend a\nbackend a\n", "2: a is already the name of a section (own.cfg, line 1)"),
        ("frontend a\nlisten a\n", "2: a is already the name of a section (own.cfg, line 1)"),
        ("listen a\n  bind *:6443\n", "2: *:6443 is where api of lb.setup listens (endpoint.port: 10.1.1.100:6443)"),
        ("listen a 10.1.1.11:8405\n", "1: 10.1.1.11:8405 is where metrics"),
        ("listen a\n bind 10.1.1.100:440-450\n", "2: 10.1.1.100:443 is where ingress-https"),
        ("userlist u\n user x insecure-password y\n", "2: a password in plain text"),
        ("listen a\n stats auth x:y\n", "2: a password in plain text"),
        ("listen a\n stats auth $u:y\n", "2: a password in plain text"),
        ("listen a\n stats auth x:y:$z\n", "2: a password in plain text"),
        ("listen a\n stats auth x:y $z\n", "2: a password in plain text"),
        ("userlist u\n user x groups g insecure-password y\n", "2: a password in plain text"),
        ("listen a\n# ---- end of own.cfg\n", "2: lines that begin with # ----"),
        ("listen a\n mode \x00http\n", "2: has the character '\\x00'"),
    ],
)
def test_what_is_refused(text, said):
    found = refused(text)
    assert len(found) == 1, found
    assert found[0].startswith(said)


@pytest.mark.parametrize("login", ['"x:$WORD"', '"${USER}:${WORD}"', '"$LOGIN"'])
def test_a_password_of_the_environment_is_taken(login):
    assert refused(f"listen a\n stats auth {login}\n") == []


def test_a_front_end_and_a_back_end_may_have_the_same_name_as_in_haproxy():
    assert (
        refused("frontend shop\n  bind 10.1.1.100:8443\n  default_backend shop\n\nbackend shop\n  server w1 10.1.1.201:8443\n")
        == []
    )


@pytest.mark.parametrize("bind", ["10.1.1.100:8443", "127.0.0.1:6443", "/run/x.sock", "10.1.1.11:80"])
def test_a_port_of_ours_on_another_address_is_free(bind):
    assert refused(f"listen a\n bind {bind}\n") == []


def test_two_files_are_judged_together():
    found = list(lb_sections.problems({"/a/x.cfg": "listen a\n", "/b/x.cfg": "listen a\n", "/c/b b.cfg": ""}, ()))
    assert [(path, message.split(":")[0]) for path, message in found] == [
        ("/b/x.cfg", "1"),
        ("/b/x.cfg", "1"),
        ("/c/b b.cfg", "1"),
    ]
    assert "has the same name" in found[0][1]


@given(
    st.text(max_size=200)
    | st.lists(st.sampled_from(["listen a", "bind :1", "user 'x", "global", '"', "\\", "stats auth"])).map("\n".join)
)
def test_any_text_is_judged_and_comes_back_out(text):
    refused(text)
    joined = "ours\n" + lb_own.appended({"x.cfg": text.replace("# ----", "")})
    assert lb_own.without(joined) == "ours\n\n" or "\r" in text
    lb_own.with_origins(f"{HAPROXY_CFG}:3", joined, HAPROXY_CFG)


# ---- in haproxy.cfg


@pytest.fixture
def own(tmp_path: Path) -> Site:
    path = tmp_path / "own.cfg"
    path.write_text(GOOD)
    return changed(site(), load_balancer=changed(site().load_balancer, haproxy_files=(path,)))


def cfg(of: Site) -> File:
    return next(file for file in lb_files(of, LB1, None) if file.path == HAPROXY_CFG)


def test_they_are_the_end_of_haproxy_cfg_which_only_root_reads_then(own):
    bare, more = cfg(site()), cfg(own)
    assert (bare.mode, more.mode) == ("0644", "0600")
    assert GOOD in more.content
    assert lb_config.mark(bare.content) != lb_config.mark(more.content)
    assert more.content.replace(lb_config.mark(more.content), lb_config.mark(bare.content)).startswith(bare.content)
    assert len(lb_files(own, LB1, None)) == len(lb_files(site(), LB1, None))


def test_hashes_are_not_shown(own):
    assert "$6$" not in diff(cfg(own), None)
    assert "user anna password ***" in diff(cfg(own), None)


def test_what_haproxy_says_of_a_line_names_the_line_of_the_file(own):
    lines = cfg(own).content.splitlines()
    number = lines.index("    mode http", lines.index("listen shop")) + 1
    said = lb_own.with_origins(f"parsing [{HAPROXY_CFG}:{number}] : x, [{HAPROXY_CFG}:3]", cfg(own).content, HAPROXY_CFG)
    assert said == f"parsing [{HAPROXY_CFG}:{number}, own.cfg:5] : x, [{HAPROXY_CFG}:3]"


def test_the_firewall_is_opened_for_them_but_not_for_the_loopback(own):
    want = Wanted(own, LB1, lb_files(own, LB1, None))
    ports = set(firewall.wanted(own, LB1, want.own_binds).ports) - set(firewall.wanted(own, LB1).ports)
    assert ports == {"8080/tcp"}


def foreign(of: Site, text: str) -> list[str]:
    present = {HAPROXY_CFG: Present(text, default=False)}
    return lb_claims.foreign(of, LB1, Claims(listeners=(), files=present, named={}, running={}))


def test_sections_that_lb_setup_put_there_may_go_and_changed_ones_may_not(own):
    assert foreign(site(), cfg(own).content) == []
    (line,) = foreign(site(), cfg(own).content.replace("10.1.1.100:8080", "10.1.1.100:8082"))
    assert "somebody has added" in line
    assert "shop (10.1.1.100:8082" in line
    (line,) = foreign(own, cfg(own).content + "listen more\n    bind :7777\n")
    assert line.endswith("somebody has added more (*:7777)")


def test_all_that_is_wrong_is_said_before_any_host_is_touched(own, tmp_path):
    (tmp_path / "own.cfg").write_text("global\nlisten stats\n")
    with pytest.raises(InventoryError) as caught:
        lb_files(own, LB1, None)
    assert f"{tmp_path}/own.cfg:1: a section global" in str(caught.value)
    assert f"{tmp_path}/own.cfg:2: stats is the name" in str(caught.value)
    assert [key for key, _ in of_site(own)] == ["load_balancer.haproxy_files[0]"] * 2
    (tmp_path / "own.cfg").unlink()
    assert of_site(own) == [("load_balancer.haproxy_files[0]", f"{tmp_path}/own.cfg does not exist")]
    (tmp_path / "own.cfg").write_bytes(b"# \xff\n")
    assert of_site(own) == [("load_balancer.haproxy_files[0]", f"{tmp_path}/own.cfg is no UTF-8 text")]
