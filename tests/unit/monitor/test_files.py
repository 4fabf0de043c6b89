"""What `inv monitor.render` writes: targets for both forms, the proxy, the files of the hosts, and dashboards."""

from __future__ import annotations

import json
import re
from ipaddress import ip_address, ip_network
from typing import Any

import msgspec
import pytest

from runbooks.commands.monitor import LB_TEXTFILE
from runbooks.commands.yaml_text import documents
from runbooks.engine.session import Options, Session
from runbooks.errors import DiskError, InventoryError
from runbooks.monitor import tasks
from runbooks.monitor.dashboards import boards
from runbooks.monitor.files import everything
from runbooks.monitor.host_files import host_files
from runbooks.monitor.rules.scope import Scope
from runbooks.monitor.rules.targets import loopback, scrapes
from tests.support import ROOT, fakes
from tests.unit.monitor.conftest import site

pytestmark = pytest.mark.unit
replace = msgspec.structs.replace


def objects(files: dict[str, str], name: str) -> list[dict[str, Any]]:
    return documents(files[name])  # type: ignore[return-value]


def asked(**settings: object) -> dict[str, tuple[str, str, list[str]]]:
    """Scheme, path and targets of each job."""
    return {
        each.job: (each.scheme, each.path, [str(target) for target in each.targets]) for each in scrapes(Scope(site(**settings)))
    }


# ---- what is scraped


def test_loopback_metrics_are_read_through_the_proxy():
    found = asked()
    masters = ["10.1.1.101:8406", "10.1.1.102:8406", "10.1.1.103:8406"]
    for job in ("etcd", "kube-scheduler", "kube-controller-manager"):
        assert found[job] == ("https", f"/{job}/metrics", masters)
    assert found["haproxy"] == ("http", "/metrics", ["10.1.1.11:8405", "10.1.1.12:8405"])
    assert found["apiserver-vip"] == ("https", "/metrics/slis", ["10.1.1.100:6443"])


def test_bound_metrics_are_read_directly():
    found = asked(control_plane="bound", proxy_port=9000)
    assert found["etcd"] == ("http", "/metrics", ["10.1.1.101:2381", "10.1.1.102:2381", "10.1.1.103:2381"])
    assert found["kube-scheduler"][2][0] == "10.1.1.101:10259"
    assert found["kube-controller-manager"][2][0] == "10.1.1.101:10257"


def test_nothing_is_ever_read_at_etcds_client_port():
    for settings in ({}, {"control_plane": "bound"}):
        assert not [target for _, _, targets in asked(**settings).values() for target in targets if target.endswith(":2379")]
    for name, text in everything(Scope(site(form="files"))).items():
        assert not re.search(r"^(?!\s*#).*\b2379\b", text, re.MULTILINE) or name.endswith("certs-textfile"), name


def test_a_token_is_sent_over_tls_only():
    for settings in ({}, {"control_plane": "bound"}):
        assert all(each.verify for each in scrapes(Scope(site(**settings))) if each.token)


def test_an_old_api_server_has_no_slis():
    described = site()
    old = replace(described, kubernetes=replace(described.kubernetes, version="1.26.9"))
    assert {each.job: each.path for each in scrapes(Scope(old))}["apiserver-vip"] == "/metrics"


def test_another_port_of_the_scheduler_is_followed():
    described = site(control_plane="bound")
    args = replace(described.kubernetes.extra_args, scheduler={"secure-port": "11259"})
    found = scrapes(Scope(replace(described, kubernetes=replace(described.kubernetes, extra_args=args))))
    assert {each.job: each.targets[0].port for each in found}["kube-scheduler"] == 11259


# ---- an ordinary Prometheus


def test_the_label_instance_is_the_name_that_people_know():
    (found,) = documents(
        everything(Scope(site(form="files", operators=(ip_address("10.1.1.5"), "adm.company.local"))))["scrape.yml"]
    )
    jobs = {each["job_name"]: each for each in found["scrape_configs"]}  # type: ignore[index]
    node = jobs["ha-cluster/node-exporter"]
    labels = {each["targets"][0]: each["labels"] for each in node["static_configs"]}
    assert labels["10.1.1.101:9100"] == {"site": "ha-cluster", "job": "node-exporter", "instance": "master1"}
    assert labels["adm.company.local:9100"]["instance"] == "adm.company.local"
    assert len(labels) == 10
    assert node["metric_relabel_configs"] == [{"action": "keep", "source_labels": ["site"], "regex": "(ha-cluster)?"}]
    assert jobs["ha-cluster/apiserver-vip"]["metric_relabel_configs"][0]["action"] == "drop"
    assert all(each["honor_labels"] == "true" for each in jobs.values())


def test_ipv6_hosts_are_written_in_brackets():
    described = six()
    (found,) = documents(everything(Scope(described))["scrape.yml"])
    targets = [t for each in found["scrape_configs"] for s in each["static_configs"] for t in s["targets"]]  # type: ignore[index]
    assert "[fd00:1::101]:8406" in targets
    proxy = files_of(described, "master1")["/etc/ha-runbooks/metrics-proxy.cfg"]
    assert "bind [fd00:1::101]:8406 ssl" in proxy
    assert "server etcd [::1]:2381" in proxy


def six():
    described = site(form="files")
    hosts = tuple(replace(host, address=ip_address(f"fd00:1::{str(host.address).split('.')[-1]}")) for host in described.hosts)
    networks = replace(described.networks, management=ip_network("fd00:1::/64"), pods=ip_network("fd00:2::/56"))
    return replace(described, hosts=hosts, networks=networks, endpoint=replace(described.endpoint, vip=ip_address("fd00:1::100")))


# ---- the operator


def test_each_job_has_a_service_endpoints_and_a_monitor_that_select_each_other():
    files = everything(Scope(site(labels={"release": "stack"}, namespace="watch")))
    by_kind: dict[str, dict[str, dict[str, Any]]] = {}
    for each in objects(files, "targets.yaml"):
        by_kind.setdefault(each["kind"], {})[each["metadata"]["name"]] = each
    assert by_kind["Service"].keys() == by_kind["Endpoints"].keys() == by_kind["ServiceMonitor"].keys()
    assert len(by_kind["Service"]) == 8
    for name, monitor in by_kind["ServiceMonitor"].items():
        service, endpoints = by_kind["Service"][name], by_kind["Endpoints"][name]
        wanted = monitor["spec"]["selector"]["matchLabels"]
        assert wanted.items() <= service["metadata"]["labels"].items()
        assert [each for each in by_kind["Service"].values() if wanted.items() <= each["metadata"]["labels"].items()] == [service]
        assert monitor["metadata"]["labels"]["release"] == "stack"
        assert {each["metadata"]["namespace"] for each in (monitor, service, endpoints)} == {"watch"}
        (endpoint,) = monitor["spec"]["endpoints"]
        assert endpoint["port"] == service["spec"]["ports"][0]["name"] == endpoints["subsets"][0]["ports"][0]["name"]


def test_the_operator_names_hosts_by_their_addresses():
    (monitor,) = [
        each
        for each in objects(everything(Scope(site())), "targets.yaml")
        if each["metadata"]["name"] == "ha-runbooks-haproxy" and each["kind"] == "ServiceMonitor"
    ]
    rules = monitor["spec"]["endpoints"][0]["relabelings"]
    named = {each["replacement"]: each["regex"] for each in rules if each["targetLabel"] == "instance"}
    assert re.fullmatch(named["lb1"], "10.1.1.11:8405")
    assert not re.fullmatch(named["lb1"], "10.1.1.110:8405")
    assert {each["targetLabel"]: each["replacement"] for each in rules if each["targetLabel"] != "instance"} == {
        "job": "haproxy",
        "site": "ha-cluster",
    }


def test_the_account_may_read_metrics_and_nothing_else():
    for form, namespace in (("operator", "monitoring"), ("files", "kube-system")):
        found = {each["kind"]: each for each in objects(everything(Scope(site(form=form))), "account.yaml")}
        verbs = {verb for rule in found["ClusterRole"]["rules"] for verb in rule["verbs"]}
        assert verbs == {"get"}
        assert [rule.get("resources") for rule in found["ClusterRole"]["rules"]] == [None, ["nodes/metrics"]]
        assert found["Secret"]["metadata"]["namespace"] == namespace
        assert "data" not in found["Secret"], "the token is made by Kubernetes"


# ---- files of the hosts


def files_of(described, name: str) -> dict[str, str]:
    return {file.path: file.content for file in host_files(Scope(described), described.host(name))}


def test_the_proxy_serves_three_paths_to_the_scrapers_and_nothing_else():
    described = site(scrapers=(ip_address("10.1.1.50"), ip_network("10.9.0.0/16")))
    text = files_of(described, "master2")["/etc/ha-runbooks/metrics-proxy.cfg"]
    assert "bind 10.1.1.102:8406 ssl crt /etc/kubernetes/pki/apiserver.crt" in text
    assert "tcp-request connection reject unless { src 10.1.1.50 10.9.0.0/16 10.1.1.102 }" in text
    assert "http-request deny deny_status 405 unless METH_GET" in text
    paths = "/etcd/metrics /kube-controller-manager/metrics /kube-scheduler/metrics"
    assert f"http-request deny deny_status 404 unless {{ path {paths} }}" in text
    assert re.findall(r"^    server (\S+) (\S+)(.*)$", text, re.MULTILINE) == [
        ("etcd", "127.0.0.1:2381", ""),
        ("kube-controller-manager", "127.0.0.1:10257", " ssl verify none"),
        ("kube-scheduler", "127.0.0.1:10259", " ssl verify none"),
    ]
    assert "listen-metrics" not in text


def test_the_proxy_asks_each_program_where_it_listens():
    """kubeadm gives scheduler and controller manager --bind-address=127.0.0.1 also where the hosts have IPv6."""
    described = site()
    host = replace(described.host("master2"), address=ip_address("fd00::102"))
    args = replace(described.kubernetes.extra_args, scheduler={"bind-address": "::"})
    bound = replace(described, kubernetes=replace(described.kubernetes, extra_args=args))
    for each, scheduler in ((described, "127.0.0.1"), (bound, "[::1]")):
        text = next(file.content for file in host_files(Scope(each), host) if file.path == "/etc/ha-runbooks/metrics-proxy.cfg")
        assert re.findall(r"^    server \S+ (\S+)", text, re.MULTILINE) == [
            "[::1]:2381",
            "127.0.0.1:10257",
            f"{scheduler}:10259",
        ]


@pytest.mark.parametrize(("given", "address"), [("0.0.0.0", "127.0.0.1"), ("10.1.1.102", "10.1.1.102"), ("fd00::5", "[fd00::5]")])  # noqa: S104 - nothing is bound here
def test_a_bind_address_of_hosts_yaml_is_where_the_proxy_asks(given, address):
    described = site()
    args = replace(described.kubernetes.extra_args, controller_manager={"bind-address": given})
    bound = replace(described, kubernetes=replace(described.kubernetes, extra_args=args))
    assert loopback(bound, "kube-controller-manager", bound.host("master2")) == address


def test_without_scrapers_it_is_the_networks_of_hosts_and_pods():
    assert "src 10.1.1.0/24 10.244.0.0/16 }" in files_of(site(), "master1")["/etc/ha-runbooks/metrics-proxy.cfg"]


def test_each_host_gets_what_its_role_needs():
    assert files_of(site(), "lb1") == {}
    assert len(files_of(site(), "master1")) == 7
    assert files_of(site(), "worker1") == {}
    bound = files_of(site(control_plane="bound"), "master1")
    assert not [path for path in bound if "metrics-proxy" in path or "ha-runbooks-metrics" in path]
    few = files_of(site(jobs=("haproxy", "kube-scheduler")), "master1")["/etc/ha-runbooks/metrics-proxy.cfg"]
    assert "backend etcd" not in few


def test_the_hook_writes_where_node_exporter_is_led():
    hook = (ROOT / "scripts" / "lb" / "lb-hook.sh").read_text()
    directory = re.search(r"^run=(.*)$", hook, re.MULTILINE)[1]  # type: ignore[index]
    assert f"{directory}/lb.prom" == LB_TEXTFILE


def test_units_name_files_that_are_written():
    found = files_of(site(), "master1")
    for path, text in found.items():
        for word in re.findall(r"(?:-f |ExecStart=)(/(?:etc/ha-runbooks|usr/libexec)\S+)", text):
            assert word in found, path


# ---- dashboards


def test_panels_do_not_overlap_and_the_cluster_fits_on_one_screen(scope):
    for name, board in boards(scope).items():
        taken: set[tuple[int, int]] = set()
        for panel in board["panels"]:
            place = panel["gridPos"]
            cells = {
                (x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])
            }
            assert not taken & cells, f"{name}: {panel['title']}"
            assert place["x"] + place["w"] <= 24
            taken |= cells
        assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    assert max(y for panel in boards(scope)["cluster"]["panels"] for y in (panel["gridPos"]["y"] + panel["gridPos"]["h"],)) <= 25


def test_dashboards_are_json_that_chooses_its_own_source(scope):
    files = everything(scope)
    names = {name for name in files if name.startswith("dashboards/")}
    assert names == {"dashboards/cluster.json", "dashboards/etcd.json", "dashboards/balancers.json"}
    (config_map,) = objects(files, "dashboards.yaml")
    for name in names:
        board = json.loads(files[name])
        assert board["uid"].startswith("ha-runbooks-")
        assert {target["datasource"]["uid"] for panel in board["panels"] for target in panel["targets"]} == {"${datasource}"}
        assert json.loads(config_map["data"][name.removeprefix("dashboards/")]) == board


# ---- the command


def test_it_is_written_to_a_directory(tmp_path, monkeypatch, capsys):
    (tmp_path / "hosts.yaml").write_text((fakes.ROOT / "hosts.yaml").read_text())
    monkeypatch.setenv("RUNBOOKS_SITE", str(tmp_path / "hosts.yaml"))
    session = Session(Options())
    tasks.render.body(session, str(tmp_path / "out"))
    written = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert written == everything(Scope(session.site)).keys()
    assert len(capsys.readouterr().out.splitlines()) == len(written)
    programs = {path.name for path in (tmp_path / "out").rglob("*") if path.is_file() and path.stat().st_mode & 0o100}
    assert programs == {"certs-textfile"}
    with pytest.raises(InventoryError, match="--faster 0 is not a whole number from 1 to 1000"):
        tasks.render.body(session, str(tmp_path / "out"), 0)
    (tmp_path / "file").touch()
    with pytest.raises(DiskError, match="cannot be written") as raised:
        tasks.render.body(session, str(tmp_path / "file"))
    assert raised.value.hint == "another --to"


def test_no_file_has_a_secret():
    for text in everything(Scope(site(form="files"))).values():
        assert not re.search(r"-----BEGIN [A-Z ]+-----\s*[A-Za-z0-9+/=]{16}", text)
        assert not re.search(r"(?i)\b(bearer|password)\b\s*[:=]", text)
