"""Inventories of Ansible that follow no rules but Ansible's."""

from __future__ import annotations

import json

import pytest
import yaml
from invoke import Context, Exit

import tasks
from runbooks.errors import InventoryError
from runbooks.inventory.load import load_site
from runbooks.site.importing.rules.roles import by_words

pytestmark = pytest.mark.unit

INI = """\
[k8s-masters]
m[1:3]
[k8s-nodes]
m[1:3]
w1 ansible_host=10.1.1.201
[haproxy]
10.1.1.11 keepalived_priority=150
lb2 ansible_host=10.1.1.12 keepalived_priority=100
[db]
db1
[k8s:children]
k8s-masters
k8s-nodes
[all:vars]
ansible_user=svc.ansible
ansible_ssh_common_args='-o ProxyCommand="ssh -W %h:%p -q jump@bastion"'
keepalived_vip=10.1.1.100/24
keepalived_interface=ens3
keepalived_virtual_router_id=77
pod_network_cidr=10.244.0.0/16
service_cidr=10.96.0.0/12
kubernetes_version=v1.31.2
control_plane_endpoint=api.example.com:8443
"""
SSH = """
Host m1
  HostName 10.1.1.101
Host m2
  HostName 10.1.1.102
Host m3
  HostName 10.1.1.103
  User root
Host bastion
  HostName 203.0.113.9
  IdentityFile /keys/bastion
"""


def test_words_variables_and_the_operators_ssh(import_, tmp_path):
    imported = import_({"prod.ini": INI}, "prod.ini", SSH)
    site = imported.site
    assert site["name"] == "prod"
    assert site["endpoint"] == {"vip": "10.1.1.100", "port": 8443, "name": "api.example.com"}
    assert site["load_balancer"] == {"interface": "ens3", "vrrp": {"id": 77}}
    assert site["networks"] == {"management": "10.1.1.0/24", "pods": "10.244.0.0/16", "services": "10.96.0.0/12"}
    assert site["kubernetes"] == {"version": "1.31.2"}
    assert site["ssh"] == {
        "user": "svc.ansible",
        "gateway": {"address": "203.0.113.9", "user": "jump", "key": "/keys/bastion"},
    }
    assert imported.host("m3") == {"name": "m3", "address": "10.1.1.103", "roles": ["control-plane"]}
    assert imported.host("w1")["roles"] == ["worker"]
    assert imported.host("lb2")["priority"] == 100
    assert "no part of the cluster, by the groups: db1" in imported.printed
    assert imported.states("missing") == {"hosts[0].name"}
    assert imported.problems == ["hosts[0].name"]
    (tmp_path / "out.yaml").write_text(imported.text.replace("name: null", "name: lb1"))
    assert str(load_site(tmp_path / "out.yaml").site.load_balancers[0]) == "lb1"


def test_what_ansible_inventory_prints(import_):
    printed = {
        "_meta": {"hostvars": {"a": {"ansible_host": "10.1.1.1", "ansible_port": 2222}, "b": {"ansible_host": "10.1.1.2"}}},
        "all": {"children": ["ungrouped", "controllers", "workers"]},
        "controllers": {"hosts": ["a"]},
        "workers": {"hosts": ["b"]},
    }
    imported = import_({"site.json": json.dumps(printed)}, "site.json")
    assert (imported.site["ssh"]["port"], imported.host("b")["ssh"]) == (2222, {"port": 22})
    assert [each["address"] for each in imported.site["hosts"]] == ["10.1.1.1", "10.1.1.2"]
    assert imported.host("b")["roles"] == ["worker"]


def test_groups_by_flag(import_):
    text = "[red]\na ansible_host=10.1.1.1\n[blue]\nb ansible_host=10.1.1.2\n[green]\nc ansible_host=10.1.1.3\nd ansible_host=10.1.1.4\n"
    imported = import_({"inv": text}, "inv", control_plane=["red"], worker=["blue", "red"], lb=["green"])
    assert [(each["name"], each["roles"]) for each in imported.site["hosts"]] == [
        ("c", ["lb"]),
        ("d", ["lb"]),
        ("a", ["control-plane", "worker"]),
        ("b", ["worker"]),
    ]


@pytest.mark.parametrize(
    ("name", "text", "said", "hint"),
    [
        (
            "inv",
            "[red]\na\n",
            "inv: no group of this inventory is the control plane by its name; the groups are red",
            "--control-plane",
        ),
        ("inv", "", "there is no host in it", "kubespray"),
        ("inv", "#!/usr/bin/env python3\n", "is a program", "ansible-inventory"),
        ("inv", "$ANSIBLE_VAULT;1.1\n", "encrypted", "ansible-inventory"),
        ("x.yml", "plugin: aws_ec2\n", "plugin", "ansible-inventory"),
        ("x.yml", "a: 'hunter2\n", "x.yml:2: this is not YAML", "k0sctl"),
        ("x.yml", "- a\n", "no mapping", "k0sctl"),
        ("x.yml", "a: {b: {c: d}}\n", "neither hosts, children nor vars", "k0sctl"),
        ("x.yml", "a: {hosts: [a, b]}\n", "hosts of a: this is no mapping", "k0sctl"),
        ("x.yml", "name: s\nendpoint: {}\nnetworks: {}\nhosts: []\n", "is a hosts.yaml already", "site.check"),
        ("inv", "[masters]\n-oProxyCommand=x\n", "is not the name of a host", "k0sctl"),
        ("inv", "[masters]\na b\n", "inv:2: ", "k0sctl"),
        ("nowhere", None, "cannot be read", "name the inventory"),
        (".", None, "no inventory", "name the file"),
    ],
)
def test_a_file_that_is_none_of_these(import_, tmp_path, name, text, said, hint):
    with pytest.raises(InventoryError) as caught:
        import_({} if text is None else {name: text}, name)
    assert said in str(caught.value)
    assert hint in caught.value.hint
    assert "hunter2" not in f"{caught.value}{caught.value.hint}"
    assert not (tmp_path / "out.yaml").exists()


def test_a_group_that_is_not_there(import_):
    with pytest.raises(InventoryError, match="there is no group blue") as caught:
        import_({"inv": "[red]\na\n"}, "inv", control_plane=["blue"])
    assert "red" in caught.value.hint


def test_an_existing_file_is_not_touched(import_, tmp_path):
    (tmp_path / "out.yaml").write_text("mine")
    with pytest.raises(InventoryError, match="is there already"):
        import_({"inv": "[masters]\na\n"}, "inv")
    assert (tmp_path / "out.yaml").read_text() == "mine"


def test_merge_keys_and_vars_of_a_yaml_inventory(import_):
    text = """
all:
  children:
    masters:
      vars: &common {ansible_user: ops, ansible_port: 2222}
      hosts:
        m[1:2]: {ansible_host: 10.1.1.1}
    workers:
      vars: {<<: *common, ansible_user: other}
      hosts: {w1: {ansible_host: 10.1.1.3}}
"""
    imported = import_({"i.yaml": text}, "i.yaml")
    assert imported.site["ssh"] == {"user": "ops", "port": 2222}
    assert imported.host("w1")["ssh"] == {"user": "other"}


def test_words_for_groups():
    found = by_words(["kubernetes_control_plane", "compute", "HAProxy", "all_nodes", "k8s_nodes", "etcd"])
    assert found == {"control-plane": ["kubernetes_control_plane"], "worker": ["compute"], "lb": ["HAProxy"]}


def test_a_host_that_only_has_a_name_is_resolved_when_asked_for(import_):
    text = "[masters]\nlocalhost\n"  # every machine knows it without asking anybody
    imported = import_({"inv": text}, "inv", resolve=True)
    assert imported.site["hosts"][0]["address"] in {"127.0.0.1", "::1"}
    assert "guessed: what localhost resolves to here" in imported.text


def test_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RUNBOOKS_SITE", str(tmp_path / "mine.yaml"))
    (tmp_path / "inv").write_text("[red]\na ansible_host=10.1.1.1\n[blue]\nb ansible_host=10.1.1.2\n")
    command = tasks.ns["site.import"]
    for expected in (5, 2):  # with places to fill in; and there is one already
        with pytest.raises(Exit) as caught:
            command(Context(), file=str(tmp_path / "inv"), control_plane="red", lbs="blue, blue")
        assert caught.value.code == expected
    assert [each["roles"] for each in yaml.safe_load((tmp_path / "mine.yaml").read_text())["hosts"]] == [
        ["lb"],
        ["control-plane"],
    ]
    assert "only one load balancer is in it" in capsys.readouterr().out


PASSWORDS = """\
[masters]
m1 ansible_host=192.0.2.11
m2 ansible_host=192.0.2.12 ansible_ssh_common_args='-J jo:hunter2@192.0.2.1' ansible_password=hunter2
[all:vars]
api_fqdn=jo:hunter2@x
api_endpoint=https://jo:hunter2@192.0.2.100:6443
kube_vip=192.0.2.100
"""


@pytest.mark.parametrize("group", ["masters", "kube_control_plane"])
def test_a_password_in_a_value_is_written_and_shown_nowhere(import_, group):
    text = PASSWORDS.replace("masters", group) + "kube_image_repo=jo:hunter2@registry.example/k8s\n"
    done = import_({"inventory.ini": text}, "inventory.ini")
    assert [name for name in ("text", "printed", "problems") if "hunter2" in str(getattr(done, name))] == []
    assert "ansible_ssh_common_args of m2 is a text with a password in it: it is not read" in done.printed


def test_the_way_through_two_hosts_is_no_password(import_):
    text = PASSWORDS.replace("jo:hunter2@192.0.2.1", "192.0.2.1:2222,jo@192.0.2.2")
    done = import_({"inventory.ini": text}, "inventory.ini")
    assert done.host("m2")["ssh"]["gateway"] == [{"address": "192.0.2.1", "port": 2222}, {"address": "192.0.2.2", "user": "jo"}]


def test_numbers_of_any_length_end_nothing(import_):
    nines = "9" * 5000
    text = f"[masters]\nm1 ansible_host=192.0.2.11 ansible_port={nines}\n[lb]\nl1 priority={nines}\n[all:vars]\nvrrp_router_id={nines}\n"
    done = import_({"inventory.ini": text}, "inventory.ini")
    assert (done.site["hosts"][0]["name"], "hosts[0].priority" in done.states("guessed")) == ("l1", True)
    assert "load_balancer.vrrp.id" in done.problems
