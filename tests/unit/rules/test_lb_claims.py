"""What lb.setup would take away from somebody, by table."""

from dataclasses import replace

import pytest

from runbooks.commands.lb_claims import Claims, Listener, Present
from runbooks.commands.lb_config import binds
from runbooks.commands.lb_paths import HAPROXY_CFG, KEEPALIVED_CONF
from runbooks.lb.files import lb_files
from runbooks.rules import lb_claims as rules
from tests.support.fakes import lb, site

pytestmark = pytest.mark.unit

ANY = "0.0.0.0"  # noqa: S104 - read, not bound

LB1 = lb(1)
FILES = {file.path: file.content for file in lb_files(site(), LB1, None)}
CFG, CONF = FILES[HAPROXY_CFG], FILES[KEEPALIVED_CONF]
VIP = site().endpoint.vip


def claims(*listeners: Listener, named=None, running=None, **files: str | Present) -> Claims:
    paths = {"cfg": HAPROXY_CFG, "conf": KEEPALIVED_CONF}
    found = {paths[key]: each if isinstance(each, Present) else Present(each, False) for key, each in files.items()}
    return Claims(listeners=listeners, files=found, named=named or {}, running=running or {})


# ---- ports


def test_every_port_of_hosts_yaml_has_its_key():
    assert {bind.proxy for bind in binds(CFG)} <= rules.KEYS.keys()
    taken = [Listener("", bind.port, False, "nginx", 5) for bind in binds(CFG)]
    found = rules.held(LB1, CFG, claims(*taken))
    assert len(found) == len(binds(CFG)) > 3
    assert f"lb1: TCP {VIP}:6443 (endpoint.port) is held by nginx (pid 5)" in found
    assert f"lb1: TCP {LB1.address}:9000 (load_balancer.stats_port) is held by nginx (pid 5)" in found


@pytest.mark.parametrize(
    ("listener", "held"),
    [
        (Listener(ANY, 9000, False, "java", 7), "java (pid 7)"),
        (Listener(str(LB1.address), 9000, False, "haproxy", 7), "haproxy (pid 7)"),  # an HAProxy, but not ours
        (Listener(f"::ffff:{LB1.address}", 9000, False, "java", 7), "java (pid 7)"),
        (Listener("", 9000, False, "", 0), "a socket of the kernel (no process), such as NFS"),
        (Listener(str(LB1.address), 9000, True, "haproxy", 8), ""),
        (Listener("127.0.0.1", 9000, False, "java", 7), ""),
        (Listener(ANY, 9001, False, "java", 7), ""),
    ],
)
def test_held(listener, held):
    found = rules.held(LB1, CFG, claims(listener))
    assert [line.rpartition("is held by ")[2] for line in found] == ([held] if held else [])


def test_a_port_of_a_configuration_from_before_lb_setup():
    (line,) = rules.held(LB1, "frontend shop\n bind *:8443\n", claims(Listener("", 8443, False, "java", 7)))
    assert line == f"lb1: TCP *:8443 ({HAPROXY_CFG}, shop) is held by java (pid 7)"


# ---- which file is read


@pytest.mark.parametrize(
    ("named", "running", "said"),
    [
        ({"haproxy": (HAPROXY_CFG,)}, {"haproxy": (HAPROXY_CFG,)}, ""),
        ({}, {}, ""),
        ({"haproxy": (HAPROXY_CFG, "/etc/haproxy/conf.d")}, {}, ""),
        ({"haproxy": ("/a.cfg",)}, {}, "haproxy is set to read /a.cfg"),
        ({"haproxy": ()}, {}, "haproxy is set to read no file"),
        ({"haproxy": (HAPROXY_CFG,)}, {"haproxy": ("/a.cfg",)}, "haproxy was started with /a.cfg"),
        ({"keepalived": ("/k.conf",)}, {}, "keepalived is set to read /k.conf"),
    ],
)
def test_elsewhere(named, running, said):
    found = rules.elsewhere(LB1, claims(named=named, running=running))
    assert len(found) == bool(said)
    assert said in "".join(found)


# ---- whose files


@pytest.mark.parametrize(("cfg", "refused"), [({"cfg": CFG}, False), ({"cfg": Present("", True)}, True), ({}, True)])
def test_files_beside_haproxy_cfg_are_named_and_refused_only_where_it_is_not_ours(cfg, refused):
    texts = {
        "/etc/haproxy/conf.d/a.cfg": "frontend shop\n bind *:8443\n",
        "/b.cfg": "global\n maxconn 5\n",
        "/c.cfg": "# nothing\n",
    }
    seen = replace(claims(**cfg), beside=texts)
    said = [
        "lb1: HAProxy also reads /etc/haproxy/conf.d/a.cfg, which is not from lb.setup; it serves shop (*:8443)",
        "lb1: HAProxy also reads /b.cfg, which is not from lb.setup",
    ]
    assert rules.beside(LB1, seen) == said
    assert rules.foreign(site(), LB1, seen) == said * refused


@pytest.mark.parametrize(
    "there",
    [
        {},
        {"cfg": CFG, "conf": CONF},
        {"cfg": Present("frontend x\n bind :1\n", True)},  # as the package installed it
        {"cfg": "# nothing\n\n"},
        {"cfg": CFG.replace("    description", "    # description")},  # of an earlier build
        {"cfg": CFG.replace("listen api", "frontend api")},  # of an earlier build, with a backend of the same name
        {"cfg": CFG.replace(":9000", ":9001")},
        {"cfg": CFG.replace(f"{VIP}:6443", "10.9.9.9:7443")},
        {
            "conf": CONF.replace(f"vrrp_instance {site().name}", "vrrp_instance before").replace(str(VIP), "10.9.9.9")
        },  # renamed since
    ],
)
def test_ours_to_replace(there):
    assert rules.foreign(site(), LB1, claims(**there)) == []


@pytest.mark.parametrize(
    ("there", "said"),
    [
        (
            {"cfg": "frontend shop\n bind *:8443\nlisten db\n bind :5432\nbackend b\n"},
            f"lb1: {HAPROXY_CFG} is not from lb.setup; it serves shop (*:8443), db (*:5432)",
        ),
        ({"cfg": "global\n maxconn 5\n"}, f"lb1: {HAPROXY_CFG} is not from lb.setup; what it serves cannot be told"),
        (
            {"conf": "vrrp_instance x {\n virtual_ipaddress {\n 10.1.1.77\n }\n}\nvirtual_server 10.1.1.77 80 {\n}\n"},
            f"lb1: {KEEPALIVED_CONF} is not from lb.setup; it serves the VRRP instance x, the VIP 10.1.1.77, the virtual server 10.1.1.77 80",
        ),
        (
            {"cfg": f"{CFG}\nfrontend shop\n    bind *:8443\n"},
            f"lb1: {HAPROXY_CFG} is from lb.setup, but somebody has added shop (*:8443)",
        ),
        (
            {"conf": f"{CONF}\nvrrp_instance shop {{\n virtual_ipaddress {{\n 10.1.1.77\n }}\n}}\n"},
            f"lb1: {KEEPALIVED_CONF} is from lb.setup, but somebody has added the VRRP instance shop, the VIP 10.1.1.77",
        ),
        (
            {"conf": CONF.replace("virtual_ipaddress {", "virtual_ipaddress {\n        10.1.1.78/32\n")},
            f"lb1: {KEEPALIVED_CONF} is from lb.setup, but somebody has added the VIP 10.1.1.78",
        ),
        (
            {"cfg": CFG.replace(f"    bind {VIP}:6443", f"    bind {VIP}:6443\n    bind {VIP}:8443")},
            f"lb1: {HAPROXY_CFG} is from lb.setup, but somebody has added api ({VIP}:8443)",
        ),
        (
            {"cfg": CFG.replace(f"    bind {VIP}:6443", f"    bind /run/x.sock\n    bind {VIP}:8443,{VIP}:6443 tfo")},
            f"lb1: {HAPROXY_CFG} is from lb.setup, but somebody has added api (/run/x.sock, {VIP}:8443)",
        ),
        (
            {"cfg": f"{CFG}\nlisten stats\n    bind *:1936\npeers twins\n    bind :1024\n"},
            f"lb1: {HAPROXY_CFG} is from lb.setup, but somebody has added stats (*:1936), twins (*:1024)",
        ),
        (
            {"cfg": CFG.replace("frontend stats", "listen stats")},
            f"lb1: {HAPROXY_CFG} is from lb.setup, but somebody has added stats ({LB1.address}:9000)",
        ),
        (
            {"conf": f"{CONF}\ninclude /etc/keepalived/conf.d/*.conf\n"},
            f"lb1: {KEEPALIVED_CONF} is from lb.setup, but somebody has added what `include /etc/keepalived/conf.d/*.conf` brings",
        ),
        (
            {"conf": "includer /etc/keepalived/other.conf\n"},
            f"lb1: {KEEPALIVED_CONF} is not from lb.setup; it serves what `includer /etc/keepalived/other.conf` brings",
        ),
    ],
)
def test_foreign(there, said):
    assert rules.foreign(site(), LB1, claims(**there)) == [said]


# ---- a configuration from before lb.setup serves again


def test_unbound():
    cfg = "frontend shop\n bind *:8443\nlisten db\n bind 10.0.0.1:5432\n"
    shop, db = Listener(ANY, 8443, True, "haproxy", 1), Listener("10.0.0.1", 5432, True, "haproxy", 1)
    assert rules.unbound(cfg, claims(shop, db)) == []
    assert [str(each) for each in rules.unbound(cfg, claims(shop, Listener("", 5432, False, "postgres", 2)))] == ["10.0.0.1:5432"]


def test_unbound_whatever_the_form_of_the_address():
    cfg = "frontend shop\n bind localhost:8443\nlisten db\n bind [FD00:0:0::1]:5432\n bind [::ffff:10.0.0.1]:5433\n"
    at = [("127.0.0.1", 8443), ("fd00::1", 5432), ("10.0.0.1", 5433)]
    assert rules.unbound(cfg, claims(*(Listener(address, port, True, "haproxy", 1) for address, port in at))) == []


def test_lost():
    conf = "vrrp_instance x {\n virtual_ipaddress {\n 10.1.1.77\n 10.1.1.78\n }\n}\n"
    both = {LB1: conf, lb(2): conf}
    assert rules.lost(both, {LB1: frozenset({"10.1.1.77"}), lb(2): frozenset({"10.1.1.78"})}) == []
    assert rules.lost(both, {LB1: frozenset({"10.1.1.77"}), lb(2): frozenset()}) == ["10.1.1.78"]
