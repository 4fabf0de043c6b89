"""Where a cluster is looked for: never at addresses of a lab or the example in the machine's own network."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from runbooks.commands.ssh_config import Jump
from runbooks.errors import InventoryError, NotServing, PrecheckError
from runbooks.inventory import source
from runbooks.inventory.load import load_site, loaded
from runbooks.local.ssh_config import OwnSsh
from runbooks.site.adopt import ground as grounds
from runbooks.site.adopt import kubeconfig
from runbooks.site.adopt.ground import given, ground
from runbooks.site.adopt.login import Logins
from runbooks.site.adopt.rules.changes import changes
from tests.support import ROOT
from tests.unit.site import adopted

SMALLEST = """\
name: site
endpoint: {vip: 10.7.1.100}
networks: {management: 10.7.1.0/24, pods: 10.244.0.0/16, services: 10.96.0.0/12}
kubernetes: {version: "1.30.0"}
load_balancer: {interface: eth0, vrrp: {id: 51}}
ssh: {user: ops}
hosts:
  - {name: lb1, address: 10.7.1.11, roles: [lb], priority: 254}
  - {name: lb2, address: 10.7.1.12, roles: [lb], priority: 253}
  - {name: master1, address: 10.7.1.101, roles: [control-plane]}
  - {name: worker1, address: 10.7.1.201, roles: [worker]}
"""


@pytest.fixture
def labs(tmp_path, monkeypatch):
    """One lab on this machine, which is called twin; nothing enters it."""
    monkeypatch.setattr(grounds, "LAB_RUN", tmp_path / "labs")
    path = tmp_path / "labs" / "twin" / "site.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(SMALLEST + "lab: {namespace: ha-lab-twin}\n")
    monkeypatch.setattr(grounds, "enter", lambda site: None)
    return path


def at(environ, output="", root=ROOT):
    return ground(environ, root, output=output)


def test_the_example_is_never_written_over(labs):
    with pytest.raises(PrecheckError, match="is the example site"):
        at({})


@pytest.mark.parametrize("address", ["10.1.1.101", "10.7.1.101", "::ffff:10.1.1.101", "::ffff:10.7.1.9"])
def test_outside_a_lab_nobody_asks_an_address_of_the_example_or_of_a_lab(labs, tmp_path, address):
    place = at({}, str(tmp_path / "mine.yaml"))
    place.allow([ip_address("192.0.2.7")])
    with pytest.raises(PrecheckError, match=r"10\.[17]\.1\.0/24, the network of"):
        place.allow([ip_address("192.0.2.7"), ip_address(address)])


@pytest.mark.parametrize("address", ["10.8.1.9", "10.9.9.9"])
def test_the_other_networks_and_the_gateways_of_a_lab_are_its_own_too(labs, tmp_path, address):
    text = SMALLEST.replace("services:", "storage: 10.8.1.0/24, services:").replace(
        "user: ops", "user: ops, gateway: {address: 10.9.9.9}"
    )
    labs.write_text(text + "lab: {namespace: ha-lab-twin}\n")
    with pytest.raises(PrecheckError, match="the network of the lab twin"):
        at({}, str(tmp_path / "mine.yaml")).allow([ip_address(address)])


def test_a_lab_whose_addresses_cannot_be_read_lets_nothing_pass(labs, tmp_path):
    labs.write_text("name: [")
    (labs.parent.parent / "gone").mkdir()
    (labs.parent.parent / ".twin.lock").touch()
    with pytest.raises(PrecheckError, match=r"of the lab twin cannot be read .*it is not YAML") as refused:
        at({}, str(tmp_path / "mine.yaml"))
    assert "RUNBOOKS_LAB=twin inv lab.down" in refused.value.hint
    labs.unlink()
    assert at({}, str(tmp_path / "mine.yaml")).reserved.keys() == {ip_network("10.1.1.0/24"), ip_network("10.2.1.0/24")}


def test_where_labs_cannot_be_listed_nothing_passes(labs, tmp_path, monkeypatch):
    monkeypatch.setattr(grounds, "LAB_RUN", labs)  # a file
    with pytest.raises(PrecheckError, match="which labs are on this machine cannot be read"):
        at({}, str(tmp_path / "mine.yaml"))


@pytest.mark.parametrize("address", ["10.7.1.3", "10.8.1.9", "10.9.9.9"])
def test_a_lab_of_a_newer_build_is_known_by_every_address_in_its_file(labs, tmp_path, address):
    labs.write_text(SMALLEST + "lab: {namespace: ha-lab-twin}\nlater: {way: 10.9.9.9, near: [10.8.1.0/24]}\n")
    with pytest.raises(PrecheckError, match="the network of the lab twin"):
        at({}, str(tmp_path / "mine.yaml")).allow([ip_address(address)])


def test_another_site_file_changes_nothing_about_the_example_of_the_checkout(labs, tmp_path):
    place = at({"RUNBOOKS_SITE": str(tmp_path / "mine.yaml")})
    assert place.there is None
    with pytest.raises(PrecheckError, match="the example site ha-cluster"):
        place.allow([ip_address("10.1.1.101")])


def test_a_site_file_of_a_lab_means_that_lab_and_its_login(labs, tmp_path):
    place = at({"RUNBOOKS_SITE": str(labs)}, str(tmp_path / "mine.yaml"))
    ssh = place.logins(given("10.7.1.101", "")).ssh
    assert (place.lab.namespace, ssh.user, ssh.known_hosts, place.there) == ("ha-lab-twin", "ops", tmp_path / "known_hosts", None)
    place.allow([ip_address("10.7.1.101")])
    assert place.stand_in(load_site(labs).site.hosts[0], ssh).lab == place.lab


def test_a_file_that_is_there_must_be_of_the_same_lab(labs, tmp_path):
    real = tmp_path / "real.yaml"
    real.write_text(SMALLEST)
    with pytest.raises(InventoryError, match="not of the same lab"):
        at({"RUNBOOKS_SITE": str(labs)}, str(real))


@pytest.mark.parametrize("host", ["", "a@", "a b", "m1,m2", "-oProxyCommand=x"])
def test_what_is_no_host(host):
    with pytest.raises(InventoryError, match="--host"):
        given(host, "")


def test_a_directory_that_is_not_there_is_said(labs, tmp_path):
    with pytest.raises(InventoryError, match="there is no directory"):
        at({}, str(tmp_path / "a" / "mine.yaml"))


# ---- logins


@pytest.fixture
def own(tmp_path):
    """The operator's ssh configuration: a bastion for the nodes by name, another port for one address."""
    config = tmp_path / "config"
    config.write_text(
        "Host m*.site.example\n User kube\n ProxyJump jump@10.9.9.9\nHost 10.1.1.12\n Port 2222\nHost cp\n HostName 10.1.1.101\n User root1\n"
    )
    return OwnSsh(config)


def test_the_operators_own_ssh_configuration_counts(own):
    logins = Logins(Jump("cp"), None, Path("known_hosts"), own)
    assert str(logins.first()) == "10.1.1.101"
    m2 = logins.of("m2.site.example", ip_address("10.1.1.102"))
    assert (m2.user, str(m2.gateway[0].address), m2.gateway[0].user) == ("kube", "10.9.9.9", "jump")
    assert logins.of("10.1.1.12", ip_address("10.1.1.12")).port == 2222
    first = logins.of("m1.other", ip_address("10.1.1.101"))
    assert (first.user, first.port, first.gateway) == ("root1", 22, ())


def test_an_alias_is_known_also_where_a_site_file_says_how_to_log_in(own, labs, tmp_path):
    path = tmp_path / "real.yaml"
    path.write_text(SMALLEST)
    logins = Logins(Jump("cp"), load_site(path).site, Path("known_hosts"), own)
    assert (str(logins.first()), logins.ssh.user) == ("10.1.1.101", "ops")
    assert (
        Logins(Jump("cp"), load_site(labs).site, Path("known_hosts"), own)._first.address == "cp"
    )  # a lab's hosts are in no configuration


def test_what_is_given_is_for_every_host_that_nobody_says_otherwise(own):
    logins = Logins(Jump("10.1.1.101", "ops", None, "~/k"), None, Path("known_hosts"), own)
    other = logins.of("w1", ip_address("10.1.1.201"))
    assert (other.user, other.key, other.port) == ("ops", Path("~/k").expanduser(), 22)
    logins.of("m1", ip_address("10.1.1.101"))
    logins.of("10.1.1.12", ip_address("10.1.1.12"))
    ssh, hosts = logins.said({"w1": "w1", "m1": "m1", "10.1.1.12": "lb2"})
    assert (ssh, hosts) == ({"user": "ops", "key": "~/k", "port": 22}, {"lb2": {"port": 2222}})


# ---- a file that is there


def test_what_a_file_says_otherwise_than_what_was_found(tmp_path):
    there = loaded(source.parse(SMALLEST), tmp_path / "hosts.yaml").site
    text = SMALLEST.replace('"1.30.0"', '"1.30.1"').replace("worker1", "worker2").replace("priority: 253", "priority: 100")
    found = loaded(source.parse(text), tmp_path / "hosts.yaml").site
    given = {
        "name": "x",
        "kubernetes": {"version": "1.30.1"},
        "hosts": [{"name": "lb2", "priority": 100}, {"name": "worker2", "address": "10.7.1.201"}],
    }
    assert [(each.key, each.file, each.found) for each in changes(given, found, there)] == [
        ("kubernetes.version", "1.30.0", "1.30.1"),
        ("hosts[lb2].priority", "253", "100"),
        ("hosts[worker2].address", "-", "10.7.1.201"),
        ("hosts[worker1]", "10.7.1.201", "-"),
    ]
    assert changes(given, found, found) == []


# ---- an administrator's kubeconfig


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "No such file"),
        ("clusters: [{cluster: {certificate-authority-data: eA==}}]\nusers: [{user: {token: x}}]\n", "cannot be used"),
        ("a: [", "it is no YAML file"),
        (
            "clusters: [{cluster: {server: 'https://192.0.2.7:6443'}}]\nusers: [{user: {exec: {command: x}}}]\n",
            "has no CA, or neither",
        ),
        ("clusters: [{cluster: {server: 'https://192.0.2.7:66666'}}]\n", "Port out of range"),
        ("clusters: [{cluster: {server: 'https://192.0.2.7'}}, {cluster: {server: 'https://192.0.2.8'}}]\n", "several clusters"),
        ("clusters: [{cluster: {server: 'https://192.0.2.7'}}]\nusers: [{name: a}, {name: b}]\n", "several users"),
    ],
)
def test_a_kubeconfig_that_cannot_be_used_is_said_with_the_way_out(labs, tmp_path, text, why):
    path = tmp_path / "admin.conf"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InventoryError, match=why) as refused:
        kubeconfig.leader(at({}, str(tmp_path / "mine.yaml")), path)
    assert "--flatten" in refused.value.hint


def test_a_control_plane_host_that_is_ready_is_chosen():
    lost = adopted.node("m1", "10.1.1.101", master=True)
    well = adopted.node("m2", "10.1.1.102", master=True)
    well["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
    worker = adopted.node("w1", "10.1.1.201", master=False)
    assert kubeconfig.chosen({"items": [worker, lost, well]}) == "10.1.1.102"
    assert kubeconfig.chosen({"items": [lost]}) == "10.1.1.101"
    with pytest.raises(NotServing):
        kubeconfig.chosen({"items": [worker]})
