"""From what was seen to hosts.yaml: it loads, says what is there, and where something was guessed."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runbooks.commands import lb_config
from runbooks.commands.lb_paths import OURS
from runbooks.inventory import source
from runbooks.inventory.load import Loaded, loaded
from runbooks.inventory.written import written
from runbooks.rules import kubeadm_args
from runbooks.site.adopt.rules import balancers, differences
from runbooks.site.adopt.rules.draft import draft, plain
from runbooks.site.withheld import without
from tests.unit.site import adopted
from tests.unit.site.adopted import CONFIGURATION

SSH = {"user": "ops"}


def written_of(seen: Any) -> str:
    return written(without(draft(seen, SSH, {}))[0])


def site_of(text: str, tmp_path: Path) -> Loaded:
    return loaded(source.parse(text), tmp_path / "hosts.yaml")


def changed(**parts: Any) -> dict[str, Any]:
    return copy.deepcopy(CONFIGURATION) | parts


def test_the_documents_cluster_becomes_a_site_without_a_mistake(tmp_path):
    site = site_of(written_of(adopted.seen()), tmp_path).site
    assert [(host.name, str(host.address), host.roles, host.priority) for host in site.hosts] == [
        ("lb1", "10.1.1.11", ("lb",), 110),
        ("lb2", "10.1.1.12", ("lb",), 100),
        ("master1", "10.1.1.101", ("control-plane",), None),
        ("master2", "10.1.1.102", ("control-plane",), None),
        ("master3", "10.1.1.103", ("control-plane",), None),
        ("worker1", "10.1.1.201", ("worker",), None),
        ("worker2", "10.1.1.202", ("worker",), None),
        ("worker10", "10.1.1.210", ("worker",), None),
    ]
    assert (site.name, str(site.endpoint.vip), site.endpoint.port, site.endpoint.name) == ("kubernetes", "10.1.1.100", 6443, None)
    assert [str(each) for each in (site.networks.management, site.networks.pods, site.networks.services)] == [
        "10.1.1.0/24",
        "10.244.0.0/16",
        "10.96.0.0/12",
    ]
    assert (site.kubernetes.version, site.kubernetes.cni, site.kubernetes.extra_args.api_server) == ("1.28.0", "none", {"v": "2"})
    vrrp = site.load_balancer.vrrp
    assert (vrrp.id, vrrp.version, vrrp.advert_ms, site.load_balancer.stats_port) == (51, 2, 1000, 9000)


def test_the_password_of_vrrp_is_in_no_site_file():
    assert "mypasswo" not in written_of(adopted.seen())


def test_a_name_as_endpoint_is_resolved_by_the_nodes(tmp_path):
    seen = adopted.seen(changed(controlPlaneEndpoint="10.1.1.100"))
    named = replace(seen, endpoint=replace(seen.endpoint, name="api.site.example", asked="master1"))
    text = written_of(named)
    assert site_of(text, tmp_path).site.endpoint.name == "api.site.example"
    assert "guessed: what api.site.example is on master1" in text


def test_flags_that_hosts_yaml_says_otherwise_or_refuses_are_left_out(tmp_path):
    args = {"audit-log-path": "/x", "audit-log-maxage": "7", "advertise-address": "1.2.3.4", "feature-gates": "A=true"}
    parts = {"apiServer": {"extraArgs": args}, "etcd": {"local": {"extraArgs": {"data-dir": "/x", "quota-backend-bytes": "8"}}}}
    site = site_of(written_of(adopted.seen(changed(**parts))), tmp_path).site
    assert site.kubernetes.extra_args.api_server == {"feature-gates": "A=true"}
    assert site.kubernetes.extra_args.etcd == {"quota-backend-bytes": "8"}
    assert site.kubernetes.audit.max_age_days == 7
    assert list(kubeadm_args.problems(site)) == []


def test_a_flag_that_is_there_twice_is_said():
    args = [{"name": "v", "value": "2"}, {"name": "v", "value": "4"}]
    text = written_of(adopted.seen(changed(apiVersion="kubeadm.k8s.io/v1beta4", scheduler={"extraArgs": args})))
    assert "v: given more than once; the last one counts here" in text
    assert plain(draft(adopted.seen(changed(scheduler={"extraArgs": args})), SSH, {}))["kubernetes"]["extra_args"][
        "scheduler"
    ] == {"v": "4"}


def test_without_a_network_for_pods_the_subnets_of_the_nodes_are_guessed():
    networking = {"serviceSubnet": "10.96.0.0/12", "dnsDomain": "cluster.local"}
    text = written_of(adopted.seen(changed(networking=networking)))
    assert "pods: 10.244.1.0/24" in text
    assert "guessed: kubeadm was not told one" in text


def test_of_two_families_the_one_of_the_vip_is_taken():
    networking = {"podSubnet": "fd00:10::/56,10.244.0.0/16", "serviceSubnet": "fd00:20::/112,10.96.0.0/16"}
    text = written_of(adopted.seen(changed(networking=networking)))
    assert "pods: 10.244.0.0/16" in text
    assert "services: 10.96.0.0/16" in text


@pytest.mark.parametrize(
    ("given", "name"), [("kubernetes", "name: kubernetes"), ("Prod_1", "name: prod-1"), ("", "name: kubernetes")]
)
def test_the_sites_name_is_the_clusters(given, name):
    assert name in written_of(adopted.seen(changed(clusterName=given)))


def test_equal_priorities_become_different_ones_with_a_word(tmp_path):
    two = (adopted.balancer("lb1", "10.1.1.11", priority=100), adopted.balancer("lb2", "10.1.1.12", priority=100))
    text = written_of(adopted.seen(balancers=two))
    assert [host.priority for host in site_of(text, tmp_path).site.load_balancers] == [254, 253]
    assert "only the order counts; keepalived.conf has 100" in text


@pytest.mark.parametrize("name", ["lb", "master1", "lb.site.example"])
def test_no_host_is_lost_because_two_call_themselves_the_same(tmp_path, name):
    two = (adopted.balancer(name, "10.1.1.11", priority=110), adopted.balancer(name, "10.1.1.12", priority=100))
    seen = adopted.seen(balancers=two)
    site = site_of(written(draft(seen, SSH, {balancers.names(seen)[two[1].address]: {"port": 2222}})), tmp_path).site
    assert [(str(host.address), host.ssh.port) for host in site.load_balancers] == [("10.1.1.11", None), ("10.1.1.12", 2222)]
    assert [str(host.address) for host in site.control_plane] == list(adopted.MASTERS.values())
    assert f"guessed: it calls itself {name}, and so does another host" in written_of(seen)


def test_our_own_file_that_somebody_has_changed_is_read_all_the_same():
    hook = 'vrrp_instance X {\n    virtual_router_id 7\n    notify "/usr/libexec/ha-runbooks/lb-hook vip %s\n}\n'
    texts = (hook % '10.1.1.102"', hook % '10.1.1.102 web"')
    ours = (f"# {OURS}\n" + adopted.HAPROXY, f"# {OURS}\n" + adopted.KEEPALIVED % {"state": "X", "priority": 9} + "".join(texts))
    lb = adopted.balancer("lb1", "10.1.1.11", haproxy=ours[0], keepalived=ours[1])
    assert lb.ours
    assert len(lb_config.other_vips(ours[1])) == 2
    assert "vips" not in plain(draft(adopted.seen(balancers=(lb,)), SSH, {}))["load_balancer"]


def test_hosts_in_several_networks_get_one_around_them_with_a_word(tmp_path):
    two = (adopted.balancer("lb1", "10.1.1.11"), adopted.balancer("lb2", "10.1.3.12", priority=100))
    text = written_of(adopted.seen(balancers=two))
    assert str(site_of(text, tmp_path).site.networks.management) == "10.1.0.0/22"
    assert "guessed: the smallest network with all hosts and the VIP in it" in text


def test_without_load_balancers_the_file_says_what_is_missing():
    text = written_of(adopted.seen(balancers=()))
    assert "no keepalived.conf with the VIP was found: write a number" in text


def test_labels_that_this_tool_has_set_are_taken_over_and_no_others():
    member = adopted.node(
        "worker1", "10.1.1.201", master=False, labels={"pool": "apps", "zone": "a"}, record='{"label":["pool","gone"]}'
    )
    seen = replace(adopted.seen(), cluster=adopted.cluster(nodes=[member]))
    host = next(each for each in plain(draft(seen, SSH, {}))["hosts"] if each["name"] == "worker1")
    assert (host["labels"], "taints" in host) == ({"pool": "apps"}, False)


def test_the_proxy_of_the_nodes_without_what_every_site_has(tmp_path):
    nodes = dict(adopted.seen().nodes)
    no = "localhost,127.0.0.1,10.1.1.0/24,10.1.1.101,10.244.0.0/16,.svc,.cluster.local,10.1.1.100,master1,.example,192.0.2.0/24"
    for name, address in adopted.MASTERS.items():
        nodes[name] = adopted.on_node(name, address, "proxy https http://192.0.2.5:3128", f"proxy no {no}")
    seen = adopted.seen(nodes=nodes)
    proxy = site_of(written_of(seen), tmp_path).site.baseline.proxy
    assert (proxy.http, proxy.https, proxy.no_proxy) == (None, "http://192.0.2.5:3128", (".example", "192.0.2.0/24"))
    assert [each.host for each in differences.findings(seen) if each.topic == "proxy"] == ["worker1, worker10, worker2"]


def test_a_proxy_with_a_password_is_said_and_written_nowhere():
    nodes = dict(adopted.seen().nodes)
    nodes["master1"] = adopted.on_node("master1", "10.1.1.101", "proxy http http://me:geheim@192.0.2.5:3128")
    seen = adopted.seen(nodes=nodes)
    said = [each for each in differences.findings(seen) if each.topic == "proxy"]
    assert ("geheim" in written_of(seen), "geheim" in str(said), said[0].host) == (False, False, "master1")
