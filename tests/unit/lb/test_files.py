"""The files of an LB, parsed as HAProxy and keepalived parse them: the tests check the meaning, not the text."""

import re
import shlex
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import pytest
import yaml
from jinja2 import UndefinedError

from runbooks.commands import lb_config
from runbooks.commands.base import Secret
from runbooks.commands.lb_paths import HAPROXY_CFG, KEEPALIVED_CONF, LIBRARY, UNCHECKED
from runbooks.inventory.load import load_site
from runbooks.lb import files
from runbooks.lb.files import lb_files, lb_sysctl, nonlocal_bind
from runbooks.render import render
from tests.support import ROOT

pytestmark = pytest.mark.unit

SECRET = Secret("hunter2x")


def described(tmp_path, *, family: int = 4, lbs: int = 2, priorities=(199, 198, 197), **balancer: Any):
    """A site file for IPv4 or IPv6 with so many LBs, loaded with all its checks."""
    net = "10.1.1." if family == 4 else "fd00::"
    text = {
        "name": "somewhere",
        "endpoint": {"vip": f"{net}100"},
        "networks": {
            "management": f"{net}0/24" if family == 4 else "fd00::/64",
            "pods": "10.244.0.0/16" if family == 4 else "fd01::/56",
            "services": "10.96.0.0/12" if family == 4 else "fd02::/108",
        },
        "kubernetes": {"version": "1.30.0"},
        "load_balancer": {"interface": "eth0", "vrrp": {"id": 51}} | balancer,
        "ssh": {"user": "ops"},
        "hosts": [
            *(
                {"name": f"lb{n}", "address": f"{net}1{n}", "roles": ["lb"], "priority": priorities[n - 1]}
                for n in range(1, lbs + 1)
            ),
            *({"name": f"master{n}", "address": f"{net}10{n}", "roles": ["control-plane"]} for n in (1, 2, 3)),
            {"name": "worker1", "address": f"{net}201", "roles": ["worker"]},
            {"name": "worker2", "address": f"{net}202", "roles": ["worker"], "weight": 7},
        ],
    }
    text["hosts"][1]["interface"] = "bond0"
    path = tmp_path / "hosts.yaml"
    path.write_text(yaml.safe_dump(text))
    return load_site(path).site


@pytest.fixture
def make(tmp_path):
    return lambda **options: described(tmp_path, **options)


# ---- readers


@dataclass
class Section:
    kind: str
    name: str
    lines: list[list[str]]

    def all(self, *start: str) -> list[list[str]]:
        """The rest of every line that starts so."""
        return [line[len(start) :] for line in self.lines if tuple(line[: len(start)]) == start]

    def one(self, *start: str) -> str:
        (rest,) = self.all(*start)
        return " ".join(rest)

    def has(self, *start: str) -> bool:
        return bool(self.all(*start))


def haproxy(site, number: int = 1) -> dict[str, Section]:
    """Sections by "kind name"."""
    sections: dict[str, Section] = {}
    for raw in content(site, HAPROXY_CFG, number).splitlines():
        words = shlex.split(raw, comments=True)
        if not words:
            continue
        if not raw.startswith(" "):
            key = " ".join(words)
            assert key not in sections
            current = sections[key] = Section(words[0], " ".join(words[1:]), [])
        else:
            current.lines.append(words)
    return sections


def keepalived(site, number: int = 1, secret: Secret | None = None) -> dict[str, Any]:
    """Blocks as dicts, words as lists of the lines that start with them."""
    top: dict[str, Any] = {}
    stack = [top]
    for raw in content(site, KEEPALIVED_CONF, number, secret).splitlines():
        words = shlex.split(raw, comments=True)
        if not words:
            continue
        if words == ["}"]:
            stack.pop()
        elif words[-1] == "{":
            block: dict[str, Any] = {}
            assert " ".join(words[:-1]) not in stack[-1]
            stack[-1][" ".join(words[:-1])] = block
            stack.append(block)
        else:
            stack[-1].setdefault(words[0], []).append(" ".join(words[1:]))
    assert stack == [top]
    return top


def content(site, path: str, number: int = 1, secret: Secret | None = None) -> str:
    return next(file.content for file in lb_files(site, site.load_balancers[number - 1], secret) if file.path == path)


def instance(site, number: int = 1, secret: Secret | None = None) -> dict[str, Any]:
    return keepalived(site, number, secret)[f"vrrp_instance {site.name}"]


def binds(site, number: int = 1) -> dict[str, str]:
    return {
        section.name: section.one("bind") for section in haproxy(site, number).values() if section.kind in ("frontend", "listen")
    }


def seconds(text: str) -> float:
    number, unit = re.fullmatch(r"([0-9]+)(ms|s|m|h|d)?", text).groups()
    return int(number) * {"ms": 0.001, None: 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}[unit]


# ---- HAProxy: what the document meant, without its mistakes


def test_the_api_is_bound_to_the_vip_and_leads_to_every_control_plane(make):
    site = make()
    sections = haproxy(site)
    assert binds(site)["api"] == "10.1.1.100:6443"
    servers = {words[0]: words[1] for words in sections["listen api"].all("server")}
    assert servers == {f"master{n}": f"10.1.1.10{n}:6443" for n in (1, 2, 3)}


def after(words: list[str], name: str) -> str:
    return words[words.index(name) + 1]


def defaults(section: Section) -> list[str]:
    """What holds for every server of a backend; the lines add up."""
    return [word for line in section.all("default-server") for word in line]


def test_an_api_server_is_in_use_while_it_says_that_it_is_ready(make):
    api = haproxy(make())["listen api"]
    assert api.one("option", "httpchk") == "GET /readyz"
    assert api.one("http-check", "expect") == "status 200"
    words = defaults(api)
    assert {"check", "check-ssl"} <= set(words)
    assert after(words, "verify") == "none"
    assert seconds(after(words, "inter")) * int(after(words, "fall")) <= 3  # the document's check took 20 s


def test_without_an_api_server_that_passes_its_check_every_one_is_tried(make):
    sections = haproxy(make())
    checked, unchecked = sections["listen api"], sections[f"backend {UNCHECKED}"]
    assert checked.one("use_backend") == f"{UNCHECKED} if {{ nbsrv(api) eq 0 }}"
    assert [line[:2] for line in unchecked.all("server")] == [line[:2] for line in checked.all("server")]
    assert "check" not in {*defaults(unchecked), *(word for line in unchecked.all("server") for word in line)}
    assert unchecked.one("balance") == "roundrobin"  # leastconn would try the dead ones only


def test_a_connection_that_a_server_does_not_take_goes_to_the_next_one(make):
    sections = haproxy(make())
    assert sections["defaults"].one("option", "redispatch") == "1"
    assert int(sections["defaults"].one("retries")) >= 2
    assert seconds(sections["defaults"].one("timeout", "connect")) <= 0.3


def test_watches_and_logs_are_not_cut(make):
    sections = haproxy(make())
    for name in ("client", "server", "tunnel"):
        assert seconds(sections["defaults"].one("timeout", name)) >= 3600
    assert not sections["listen api"].has("timeout", "client")
    assert not sections["listen api"].has("timeout", "server")
    assert sections["defaults"].has("option", "tcpka")


def test_nobody_on_the_network_can_change_anything(make):
    for section in haproxy(make()).values():
        assert not section.has("stats", "admin")
        for words in section.all("stats", "socket"):
            assert section.kind == "global"
            assert words[0].startswith("/")
            assert words[words.index("mode") + 1] == "600"


def test_every_front_end_binds_one_address_and_never_all(make):
    site = make(ingress={"http": True, "https": True})
    assert binds(site, 2) == {
        "api": "10.1.1.100:6443",
        "ingress-http": "10.1.1.100:80",
        "ingress-https": "10.1.1.100:443",
        "stats": "10.1.1.12:9000",
        "metrics": "10.1.1.12:8405",
        "health": "127.0.0.1:8404",
    }


def test_stats_are_read_only_and_metrics_are_haproxys_own(make):
    sections = haproxy(make())
    assert sections["frontend stats"].one("stats", "uri") == "/stats"
    assert sections["frontend metrics"].one("http-request", "use-service") == "prometheus-exporter if { path /metrics }"
    assert sections["frontend stats"].one("mode") == sections["frontend metrics"].one("mode") == "http"


@pytest.mark.parametrize(("http", "https"), [(False, False), (True, False), (False, True), (True, True)])
def test_ingress_front_ends_are_there_when_wanted(http, https, make):
    site = make(
        ingress={"http": http, "https": https, "http_node_port": 31080, "https_node_port": 31443, "health_path": "/ready"}
    )
    sections = haproxy(site)
    assert ("listen ingress-http" in sections) is http
    assert ("listen ingress-https" in sections) is https
    names = [name.split()[1] for name in sections if " " in name]
    assert len(names) == len(set(names)), "from 3.3 on HAProxy refuses a frontend and a backend of one name"
    for name, port in [("http", 31080)] * http + [("https", 31443)] * https:
        servers = {words[0]: words[1] for words in sections[f"listen ingress-{name}"].all("server")}
        assert servers == {"worker1": f"10.1.1.201:{port}", "worker2": f"10.1.1.202:{port}"}
    if http:
        assert sections["listen ingress-http"].one("option", "httpchk") == "GET /ready"


def test_limits_weights_and_ports_follow_the_site(make):
    site = make(
        limits={"maxconn": 5000, "server_maxconn": 99, "server_maxqueue": 17},
        stats_port=9999,
        metrics_port=9998,
        health_port=9997,
        ingress={"https": True},
    )
    sections = haproxy(site)
    assert sections["global"].one("maxconn") == sections["defaults"].one("maxconn") == "5000"
    words = defaults(sections["listen api"])
    assert (after(words, "maxconn"), after(words, "maxqueue")) == ("99", "17")
    weights = {words[0]: after(words, "weight") for words in sections["listen ingress-https"].all("server")}
    assert weights == {"worker1": "100", "worker2": "7"}
    assert [binds(site)[name].rsplit(":", 1)[1] for name in ("stats", "metrics", "health")] == ["9999", "9998", "9997"]


# ---- keepalived


def weights(conf: dict[str, Any]) -> dict[str, int]:
    """How much each check takes off the priority when it fails; 0 means FAULT: the VIP is given up at once."""
    watched = {
        key.split()[1]: int(block.get("weight", ["0"])[0])
        for key, block in conf.items()
        if key.startswith(("vrrp_script", "track_file"))
    }
    used = conf["vrrp_instance somewhere"]
    assert {*used["track_script"], *used["track_file"]} == set(watched)
    for name, words in used["track_file"].items():
        assert words == [f"weight {watched[name]}"]
    return watched


def test_everything_that_ends_service_is_watched(make):
    conf = keepalived(make())
    assert set(weights(conf)) >= {"haproxy_answers", "haproxy_down", "drain", "leaving"}
    assert weights(conf)["haproxy_down"] == weights(conf)["yield"] == 0  # at once
    called = [block["script"][0].split()[0] for key, block in conf.items() if key.startswith("vrrp_script")]
    assert set(called) == {files.CHECK}


@pytest.mark.parametrize("second", [1, 50, 100, 130, 140, 153, 154, 155, 200, 253])
def test_every_failed_check_moves_the_vip(second, tmp_path):
    """The document's `weight 2` never moved it: 110 against 100 stays 110. Holds for every pair of priorities that a site may have."""
    site = described(tmp_path, priorities=(254, second))
    first, other = (int(instance(site, number)["priority"][0]) for number in (1, 2))
    assert first > other
    for name, weight in weights(keepalived(site)).items():
        assert weight == 0 or first + weight < other, f"{name} would leave the VIP where it is"


@pytest.mark.parametrize("lbs", [2, 3])
def test_a_check_that_fails_on_every_lb_takes_the_vip_from_none_and_orders_them(lbs, make):
    """A script without a weight is a FAULT, which releases the VIP also when no other LB can take it."""
    site = make(lbs=lbs)
    off = weights(keepalived(site))
    scripts = [key.split()[1] for key in keepalived(site) if key.startswith("vrrp_script")]
    assert all(off[name] < 0 for name in scripts)
    best, worst = (int(instance(site, number)["priority"][0]) for number in (1, lbs))
    # From best to worst: well, drained, sees no API server, hangs.
    for better, worse in [("drain", "masters_seen"), ("masters_seen", "haproxy_answers")]:
        assert best + off[worse] < worst + off[better]
    assert worst + sum(off.values()) > 0


def test_a_hung_haproxy_asks_every_other_lb(make):
    words = keepalived(make(lbs=3, stats_port=9999), 2)["vrrp_script haproxy_answers"]["script"][0].split()
    assert words == [files.CHECK, "answers", "10.1.1.11:9999", "10.1.1.13:9999"]


@pytest.mark.parametrize("number", [1, 2])
def test_each_lb_sends_from_its_own_address_to_the_other(number, make):
    one = instance(make(), number)
    assert one["state"] == ["BACKUP"]
    assert one["unicast_src_ip"] == [f"10.1.1.1{number}"]
    assert list(one["unicast_peer"]) == [f"10.1.1.1{3 - number}"]
    assert one["priority"] == [str(255 - number)]
    assert one["virtual_router_id"] == ["51"]
    interface = {1: "eth0", 2: "bond0"}[number]
    assert one["interface"] == [interface]
    assert one["virtual_ipaddress"] == {"10.1.1.100/32": [f"dev {interface}"]}


def test_three_lbs_have_two_peers_each(make):
    site = make(lbs=3)
    peers = {n: set(instance(site, n)["unicast_peer"]) for n in (1, 2, 3)}
    every = {f"10.1.1.1{n}" for n in (1, 2, 3)}
    assert peers == {n: every - {f"10.1.1.1{n}"} for n in (1, 2, 3)}


def test_version_3_has_no_authentication(make):
    one = instance(make(vrrp={"id": 7, "advert_ms": 250, "preempt_delay_s": 5}))
    assert (one["version"], one["advert_int"], one["preempt_delay"]) == (["3"], ["0.25"], ["5"])
    assert "authentication" not in one


def test_version_2_has_the_secret_in_a_private_file(make):
    site = make(vrrp={"id": 7, "version": 2, "advert_ms": 2000})
    one = instance(site, 1, SECRET)
    assert (one["version"], one["advert_int"]) == (["2"], ["2"])
    assert one["authentication"] == {"auth_type": ["PASS"], "auth_pass": ["hunter2x"]}
    for file in lb_files(site, site.load_balancers[0], SECRET):
        if SECRET in file.content:
            assert (file.path, file.mode, file.owner, file.secret) == (KEEPALIVED_CONF, "0600", "root:root", SECRET)


# ---- IPv6


def test_an_ipv6_site_has_its_addresses_in_brackets_where_a_port_follows(make):
    site = make(family=6, ingress={"http": True, "https": True})
    assert binds(site) == {
        "api": "[fd00::100]:6443",
        "ingress-http": "[fd00::100]:80",
        "ingress-https": "[fd00::100]:443",
        "stats": "[fd00::11]:9000",
        "metrics": "[fd00::11]:8405",
        "health": "[::1]:8404",
    }
    for section in haproxy(site).values():
        for words in section.all("server"):
            assert re.fullmatch(r"\[fd00::\d+\]:\d+", words[1])


def test_keepalived_gets_ipv6_addresses_without_brackets(make):
    one = instance(make(family=6))
    assert one["virtual_ipaddress"] == {"fd00::100/128": ["dev eth0"]}
    assert one["unicast_src_ip"] == ["fd00::11"]
    assert list(one["unicast_peer"]) == ["fd00::12"]


@pytest.mark.parametrize(("family", "name"), [(4, "net.ipv4.ip_nonlocal_bind"), (6, "net.ipv6.ip_nonlocal_bind")])
def test_the_vip_can_be_bound_where_it_is_not(family, name, make):
    site = make(family=family)
    assert nonlocal_bind(site) == name
    file = lb_sysctl(site)
    assert [line for line in file.content.splitlines() if not line.startswith("#")] == [f"{name} = 1"]
    assert file.path.startswith("/etc/sysctl.d/")
    assert file.path.endswith(".conf")


# ---- all files


def test_every_file_is_whole_and_owned_by_root(make):
    site = make()
    every = [*lb_files(site, site.load_balancers[0], None), lb_sysctl(site)]
    assert len({file.path for file in every}) == len(every)
    for file in every:
        assert file.path.startswith("/")
        assert file.owner == "root:root"
        assert file.content.endswith("\n")
        assert not re.search(r"{{|}}|{%|%}|\bNone\b", file.content)
        assert int(file.mode, 8) & 0o022 == 0  # keepalived refuses scripts that others may write


def test_what_the_configuration_calls_is_installed_and_can_be_run(make):
    site = make()
    every = {file.path: file for file in lb_files(site, site.load_balancers[0], None)}
    called = set(re.findall(rf"{LIBRARY}/[a-z-]+", "".join(file.content for file in every.values())))
    assert called
    for path in called:
        assert every[path].mode == "0755"
        assert every[path].content.startswith("#!/bin/sh\n")


def test_haproxy_tells_a_mark_that_only_this_file_has(make):
    site = make()
    one, two = content(site, HAPROXY_CFG), content(make(stats_port=9001), HAPROXY_CFG)
    marks = {lb_config.mark(text) for text in (one, content(site, HAPROXY_CFG, 2), two)}
    assert len(marks) == 3
    digest = lb_config.mark(one).removeprefix("ha-runbooks ")
    assert sha256(one.replace(digest, "").encode()).hexdigest().startswith(digest)
    assert haproxy(site)["global"].one("description") == f"ha-runbooks {digest}"


def test_the_hook_is_called_when_haproxy_starts_and_stops(make):
    site = make()
    units = {
        file.path.split("/")[4]: file.content
        for file in lb_files(site, site.load_balancers[0], None)
        if ".service.d/" in file.path
    }
    haproxy_unit, keepalived_unit = units["haproxy.service.d"].splitlines(), units["keepalived.service.d"].splitlines()
    assert f"ExecStartPost={files.HOOK} up" in haproxy_unit
    assert f"ExecStop={files.HOOK} leave" in haproxy_unit
    assert f"ExecStopPost={files.HOOK} down" in haproxy_unit
    assert f"ExecStop={files.HOOK} leave" in keepalived_unit
    assert f"ExecStopPost={files.HOOK} gone 10.1.1.100 eth0" in keepalived_unit
    for unit, path in ((haproxy_unit, HAPROXY_CFG), (keepalived_unit, KEEPALIVED_CONF)):
        assert f"ExecStartPost={files.HOOK} loaded {path}" in unit
    assert f"ExecReload={files.HOOK} loaded {KEEPALIVED_CONF}" in keepalived_unit
    # A reload of HAProxy succeeds, too, when the old worker goes on.
    assert not [line for line in haproxy_unit if line.startswith("ExecReload=") and "loaded" in line]


def test_the_flags_are_where_the_hook_writes_them(make):
    hook = (ROOT / "scripts" / "lb" / "lb-hook.sh").read_text()
    directory = re.search(r"^run=(.*)$", hook, re.MULTILINE).group(1)
    assert keepalived(make())["track_file haproxy_down"]["file"] == [f"{directory}/haproxy_down"]
    assert keepalived(make())["track_file drain"]["file"] == [f"{directory}/drain"]
    assert keepalived(make())["track_file leaving"]["file"] == [f"{directory}/leaving"]


def test_the_same_site_always_gives_the_same_files(make):
    site = make()
    assert lb_files(site, site.load_balancers[0], None) == lb_files(make(), make().load_balancers[0], None)


def test_the_shipped_site_renders(make):
    site = load_site(ROOT / "hosts.yaml").site
    assert binds(site)["api"] == "10.1.1.100:6443"
    assert instance(site)["priority"] == ["254"]


# ---- rendering


MACROS = re.compile(r"{% macro .*?{% endmacro %}", re.DOTALL)  # they get their names from those who call them
FILLED = [path for path in sorted((ROOT / "templates").glob("*.j2")) if "{{" in MACROS.sub("", path.read_text())]


@pytest.mark.parametrize("name", [path.name.removesuffix(".j2") for path in FILLED])
def test_a_missing_name_is_an_error_in_every_template(name):
    with pytest.raises(UndefinedError, match="is undefined"):
        render(name)
