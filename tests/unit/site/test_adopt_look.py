"""What hosts and configurations say, and what is told from it: the endpoint, who may be a load balancer, the addresses that are refused."""

from __future__ import annotations

import copy
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.commands import adopt, adopt_cluster
from runbooks.commands.base import Answer
from runbooks.commands.haproxy_environment import Environment
from runbooks.commands.keepalived_includes import Includes, Wanted
from runbooks.errors import InventoryError
from runbooks.site.adopt import look as looking
from runbooks.site.adopt.rules import differences_lb, endpoint, ground, proxies, vrrp
from tests.unit.site import adopted
from tests.unit.site.adopted import CONFIGURATION

GUIDE = """
defaults
    timeout client 35s
frontend apiserver
    bind *:6443
    default_backend apiserverbackend
backend apiserverbackend
    option httpchk
    http-check connect ssl
    http-check send meth GET uri /healthz
    server m1 10.1.1.101:6443 check verify none
    server m2 10.1.1.102:6443 verify none
"""


def of(text):
    return adopt.parse(Answer(0, text))


def config(**parts):
    return adopted.cluster(copy.deepcopy(CONFIGURATION) | parts)


def test_a_host_says_what_it_is():
    said = of(
        "hostname M1.site.example\naddress eth0 10.1.1.101/24\naddress eth0 fd00::1/64\nserver admin.conf https://api.site.example:6443\n"
        "resolves api.site.example 10.1.1.100\npeer 10.1.1.11\npeer fd00::9\nneighbour fe80::1\nactive kubelet\n"
        "snapshot /etc/cron.d/x pki\ncontainerd_root /data/containerd\noom_restricted yes\nlater words\n"
    )
    assert (said.hostname, said.servers, said.active) == (
        "M1.site.example",
        {"admin.conf": "https://api.site.example:6443"},
        frozenset({"kubelet"}),
    )
    assert said.resolved == {"api.site.example": (ip_address("10.1.1.100"),)}
    assert said.peers == {ip_address("10.1.1.11"), ip_address("fd00::9")}
    assert said.snapshots == {"/etc/cron.d/x": True}
    assert (said.containerd_root, said.oom_restricted) == ("/data/containerd", True)
    assert said.has(ip_address("10.1.1.101"))
    assert not said.has(ip_address("10.1.1.102"))


def test_an_answer_without_an_end_is_none():
    with pytest.raises(ValueError, match="host's name"):
        of("address eth0 10.1.1.101/24\n")


def test_an_api_server_that_refuses_is_told_in_its_words():
    said = adopt_cluster.parse(Answer(0, f"clock 1\n{adopt_cluster.NODES} 1 Forbidden: no\n"))
    assert said == f"its API server did not give {adopt_cluster.NODES}: Forbidden: no"
    assert isinstance(said, adopt_cluster.Silent)


def test_a_cluster_that_kubeadm_did_not_build_is_said():
    lines = adopted.objects().stdout.replace("kubeadm-config", "something-else")
    assert (
        adopt_cluster.parse(Answer(0, lines))
        == "there is no ConfigMap kubeadm-config in kube-system: kubeadm did not build this cluster"
    )


@pytest.mark.parametrize(
    ("given", "vip", "port"),
    [
        ("10.1.1.100:6443", "10.1.1.100", 6443),
        ("10.1.1.100", "10.1.1.100", 6443),
        ("[fd00::100]:8443", "fd00::100", 8443),
        ("fd00::100", "fd00::100", 6443),
    ],
)
def test_the_endpoint_of_an_address(given, vip, port):
    found = endpoint.endpoint(config(controlPlaneEndpoint=given), {})
    assert (str(found.vip), found.port, found.name) == (vip, port, "")


def test_the_endpoint_of_a_name_is_what_the_nodes_know():
    looks = {"m1": of("hostname m1\n"), "m2": of("hostname m2\nresolves api.site.example 10.1.1.100\n")}
    found = endpoint.endpoint(config(controlPlaneEndpoint="api.site.example:6443"), looks)
    assert (str(found.vip), found.name, found.asked) == ("10.1.1.100", "api.site.example", "m2")


@pytest.mark.parametrize("given", ["", "nowhere.example:6443"])
def test_a_cluster_without_an_endpoint_is_refused(given):
    with pytest.raises(InventoryError):
        endpoint.endpoint(config(controlPlaneEndpoint=given), {"m1": of("hostname m1\n")})


@pytest.mark.parametrize("given", ["10.1.1.102:6443", "cluster-endpoint:6443"])
def test_an_endpoint_that_is_a_nodes_own_address_is_no_vip(given):
    looks = {"m1": of("hostname m1\nresolves cluster-endpoint 10.1.1.102\n")}
    with pytest.raises(InventoryError, match=r"10\.1\.1\.102.*, the own address of master2, and no VIP"):
        endpoint.endpoint(config(controlPlaneEndpoint=given), looks)


def test_who_talks_to_every_api_server_may_be_a_load_balancer():
    common = "peer 10.1.1.11\npeer 10.1.1.12\npeer 10.1.1.201\npeer 10.244.1.7\npeer 10.1.1.100\npeer 127.0.0.1\n"
    leaders = [
        of(f"hostname m{n}\naddress eth0 10.1.1.10{n}/24\n{common}" + ("peer 10.1.1.77\n" if n == 1 else "")) for n in (1, 2)
    ]
    where = endpoint.endpoint(config(), {})
    assert [str(each) for each in endpoint.candidates(config(), where, leaders, leaders)] == ["10.1.1.11", "10.1.1.12"]
    assert endpoint.candidates(config(), where, [], []) == []


def test_kube_vip_is_recognised():
    assert endpoint.holder(config(), {"m1": ["etcd.yaml"], "m2": ["kube-vip.yaml"]}) == "kube-vip (a static pod on m2)"
    assert endpoint.holder(config(), {"m1": ["etcd.yaml"]}) == ""


@given(st.ip_addresses(v=4), st.integers(0, 32))
def test_no_address_of_a_reserved_network_is_let_pass(address, bits):
    network = ip_network((address, bits), strict=False)
    for each in (address, ip_address(f"::ffff:{address}")):
        assert str(network) in ground.refusal([ip_address("fd00::1"), each], {network: "the lab x"})
    assert ground.refusal([ip_address("fd00::1")], {network: "the lab x"}) == ""


def test_haproxy_as_kubeadms_guide_has_it():
    found = proxies.proxies(GUIDE)
    front, back = found
    assert (front.name, [str(each) for each in front.binds], front.uses, front.timeouts) == (
        "apiserver",
        ["*:6443"],
        ("apiserverbackend",),
        {"client": "35s"},
    )
    assert (back.check, back.unchecked) == ("/healthz", ("m2",))
    assert [each.address for each in proxies.through(found, front)] == ["10.1.1.101", "10.1.1.102"]


def test_a_front_end_whose_address_is_a_variable_is_seen_or_named():
    text = adopted.HAPROXY.replace("bind 10.1.1.100:6443", 'bind "${VIP}:6443"').replace("10.1.1.103:6443", '"$THIRD":6443')
    one = adopted.balancer("lb1", "10.1.1.11", haproxy=text)
    known = replace(one, claims=replace(one.claims, environment=Environment({"VIP": "10.1.1.100", "THIRD": "10.1.1.103"})))
    there = adopted.seen(balancers=(known, one))
    assert known.unknown == []
    assert known.front(there.endpoint).name == "k8s-api"
    assert [each.address for each in known.servers(there.endpoint)] == ["10.1.1.101", "10.1.1.102", "10.1.1.103"]
    said = [each.seen for each in differences_lb.findings(there) if "variables" in each.seen]
    assert one.front(there.endpoint) is None
    assert said == [
        "HAProxy's variables whose values are not known: VIP (/etc/haproxy/haproxy.cfg, line 14), THIRD (/etc/haproxy/haproxy.cfg, line 20)"
    ]


def test_keepalived_with_a_weight_at_the_instance_and_of_version_3():
    text = """
    global_defs {
        vrrp_version 3
    }
    vrrp_script c {
        weight 5
    }
    vrrp_instance A {
        interface eth1
        advert_int 0.2
        preempt_delay 30
        unicast_peer {
            10.1.1.12
        }
        track_script {
            c weight -20
        }
        virtual_ipaddress {
            10.1.1.100/24 dev eth1
        }
    }
    """
    found = vrrp.instances(text)[0]
    assert (found.version, found.advert_s, found.preempt_delay_s, found.peers) == (3, 0.2, 30, ("10.1.1.12",))
    assert (found.scripts, found.watches, found.password) == ((vrrp.TrackScript("c", -20),), True, "")


def test_a_peer_that_is_a_variable_is_not_known_and_no_more_than_a_few_are_asked():
    peers = "$PEER\n10.1.1.12 min_ttl 5\n" + "\n".join(f"10.1.2.{n}" for n in range(1, 200))
    text = f"vrrp_instance A {{\n unicast_peer {{\n{peers}\n}}\n virtual_ipaddress {{\n 10.1.1.100\n}}\n}}"
    found = looking._peers([adopted.balancer("lb1", "10.1.1.11", keepalived=text)], adopted.seen().endpoint)
    assert (str(found[0]), len(found)) == ("10.1.1.12", looking.MOST_PEERS)


@pytest.mark.parametrize("name", ["-oProxyCommand=x", "m1;x", "$(x)", "a b", "M1", ""])
def test_a_node_with_a_name_that_no_node_has_is_refused(name):
    with pytest.raises(ValueError, match="a name that Kubernetes does not allow"):
        adopted.cluster(nodes=[adopted.node(name, "10.1.1.101", master=True)])


def test_networks_that_are_none_are_left_out():
    networking = {"podSubnet": "none,10.244.0.0/16", "serviceSubnet": "~"}
    assert [str(each) for each in endpoint.networks(config(networking=networking))][:1] == ["10.244.0.0/16"]


NINES = "9" * 5000


@pytest.mark.parametrize("number", [NINES, "²", "٣", "-1", "0x10"])
def test_numbers_that_are_none_end_no_reader(number):
    instance = vrrp.instances(f"vrrp_instance A {{\n priority {number}\n virtual_router_id {number}\n advert_int {number}\n}}")[0]
    assert (instance.priority, instance.router_id, instance.advert_s) == (100, 0, 1.0)
    found = proxies.proxies(f"frontend a\n bind :{number}\n bind :1-{number}\n server s 10.0.0.1:{number}\n maxconn {number}\n")[
        0
    ]
    assert (found.binds, found.servers[0].port) == ((), 0)
    assert differences_lb.seconds(number) is None


def test_braces_in_braces_without_end_end_no_reader():
    assert [each.name for each in vrrp.instances("vrrp_instance A {\n" + "a {\n" * 5000)] == ["A"]


@given(st.text(alphabet="vrp_inst{}!#\"' \n\t0aK", max_size=200))
def test_no_configuration_ends_the_readers(text):
    assert isinstance(vrrp.instances(f"vrrp_instance A {{\n{text}"), tuple)
    assert isinstance(proxies.proxies(f"frontend a\n{text}"), tuple)


def test_an_instance_in_a_file_that_is_included_by_an_included_one_is_seen():
    lb = adopted.balancer("lb1", "10.1.1.11", keepalived="include conf.d/*.conf\n")
    files = {
        Wanted("/etc/keepalived", "conf.d/*.conf"): ("/etc/keepalived/conf.d/a.conf",),
        Wanted("/etc/keepalived/conf.d", "vips"): ("/etc/keepalived/conf.d/vips",),
    }
    text = "vrrp_instance A {\n interface eth0\n virtual_router_id 9\n virtual_ipaddress {\n include vips\n }\n}\n"
    parts = Includes(files, {"/etc/keepalived/conf.d/a.conf": text, "/etc/keepalived/conf.d/vips": "10.1.1.100\n"})
    found = replace(lb, includes=parts).instance_of(ip_address("10.1.1.100"))
    assert found
    assert (found.name, found.router_id) == ("A", 9)
    assert lb.instance_of(ip_address("10.1.1.100")) is None
