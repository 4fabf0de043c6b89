"""What load_site makes of good files: values, defaults, paths, warnings."""

import os
import subprocess
import sys
from ipaddress import ip_address, ip_network
from pathlib import Path

import msgspec
import pytest
import yaml

from runbooks.commands import setup_look
from runbooks.inventory import checks_baseline
from runbooks.inventory.checks_networks import misplaced
from runbooks.inventory.convert import fields
from runbooks.inventory.load import load_site
from runbooks.inventory.model import Site
from runbooks.inventory.problems import SiteError
from runbooks.inventory.settings import Gateway, Monitoring
from runbooks.inventory.settings_baseline import Baseline, Time
from runbooks.inventory.settings_lb import Ingress, Limits
from runbooks.inventory.words import sysctl_path
from runbooks.lb.files import nonlocal_bind

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[3]
GOOD = (Path(__file__).parent / "good.yaml").read_text()


@pytest.fixture
def write(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "hosts.yaml"
        path.write_text(text)
        return path

    return write


def load(path: Path) -> Site:
    loaded = load_site(path)
    assert loaded.warnings == ()
    return loaded.site


def names(hosts) -> list[str]:
    return [str(host) for host in hosts]


def test_the_shipped_example() -> None:
    site = load(ROOT / "hosts.yaml")
    assert site.example
    assert site.endpoint.vip == ip_address("10.1.1.100")
    assert site.endpoint.name == "k8s-api.company.local"
    assert site.networks.storage == ip_network("10.2.1.0/24")
    assert names(site.load_balancers) == ["lb1", "lb2"]
    assert names(site.control_plane) == ["master1", "master2", "master3"]
    assert names(site.workers) == ["worker1", "worker2", "worker3"]
    assert site.load_balancer.ingress == Ingress(http=True, https=True)


def test_a_site_written_out_is_the_same_site(write) -> None:
    """`inv lab.up` writes the twin's file this way."""
    site = load(ROOT / "hosts.yaml")
    text = yaml.safe_dump(msgspec.to_builtins(site, enc_hook=str), sort_keys=False)
    assert load(write(text)) == site


def test_loading_brings_nothing_heavy() -> None:
    """It happens at the start of every command."""
    heavy = {"difflib", "invoke", "fabric", "paramiko", "rich", "jinja2", "tenacity", "asyncio", "subprocess", "socket"}
    program = "import sys, runbooks.inventory.load; print(*sys.modules)"
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, env=environ)
    assert not heavy & set(done.stdout.split())


def test_defaults(write) -> None:
    site = load(write(GOOD))
    assert not site.example
    assert (site.endpoint.port, site.endpoint.name, site.networks.storage) == (6443, None, None)
    assert (site.load_balancer.vrrp.version, site.load_balancer.vrrp.advert_ms) == (3, 200)
    assert (site.load_balancer.ingress, site.load_balancer.limits) == (Ingress(), Limits())
    assert site.backup is None
    assert site.lab is None
    assert names(site.load_balancers) == ["lb2", "lb1"]  # by priority, not by their order in the file


def test_the_site_is_frozen_and_compares_by_value(write) -> None:
    site = load(write(GOOD))
    assert site == load(write(GOOD))
    with pytest.raises(AttributeError):
        site.name = "other"


def test_paths_become_absolute(write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    text = GOOD.replace("{user: ops}", "{user: ops, key: ~/.ssh/id, gateway: {address: bastion.example.org, key: keys/bastion}}")
    text = text.replace("roles: [worker]", "roles: [worker], ssh: {key: /etc/key, gateway: {address: 10.9.9.9, key: keys/two}}")
    path = write(f"{text}backup: {{directory: ../backup}}\n")
    monkeypatch.chdir(tmp_path)
    site = load(Path(path.name))
    assert site.ssh.key == Path("/home/somebody/.ssh/id")
    assert site.ssh.known_hosts == tmp_path / "known_hosts"
    assert site.ssh.gateway == Gateway(address="bastion.example.org", key=tmp_path / "keys/bastion")
    assert site.hosts[3].ssh.key == Path("/etc/key")
    assert site.hosts[3].ssh.gateway == Gateway(address=ip_address("10.9.9.9"), key=tmp_path / "keys/two")
    assert site.backup is not None
    assert site.backup.directory == tmp_path / "../backup"


def test_an_ipv6_site(write) -> None:
    text = (
        GOOD.replace("10.1.1.0/24", "2001:db8:1::/64")
        .replace("10.244.0.0/16", "fd00:244::/56")
        .replace("10.96.0.0/12", "fd00:96::/112")
    )
    text = text.replace("10.1.1.100", '"2001:db8:1::100"').replace("10.1.1.101", "2001:db8:1:0:10:10:10:11")  # 60s, to YAML
    site = load(write(text.replace("10.1.1.", "2001:db8:1::")))
    assert site.endpoint.vip == ip_address("2001:db8:1::100")
    assert site.hosts[2].address == ip_address("2001:db8:1:0:10:10:10:11")


def test_anchors_may_be_used(write) -> None:
    text = GOOD.replace("roles: [worker]", "roles: [worker], ssh: &far {user: root}")
    site = load(write(f"{text}  - {{name: worker2, address: 10.1.1.202, roles: [worker], ssh: *far}}\n"))
    assert site.hosts[3].ssh == site.hosts[4].ssh
    assert site.hosts[4].ssh.user == "root"


def test_an_optional_part_may_be_left_empty(write) -> None:
    assert load(write(f"{GOOD}backup:\nlab: ~\n")).backup is None


def test_vrrp_version_2_and_whole_seconds(write) -> None:
    assert load(write(GOOD.replace("id: 51", "id: 51, version: 2, advert_ms: 2000"))).load_balancer.vrrp.advert_ms == 2000


def test_an_lb_may_be_a_control_plane_host_when_the_ports_differ(write) -> None:
    text = GOOD.replace("roles: [lb], priority: 253", "roles: [lb, control-plane, worker], priority: 253")
    text = text.replace("vip: 10.1.1.100", "vip: 10.1.1.100, port: 8443").replace("[control-plane]", "[worker]")
    assert names(load(write(text)).control_plane) == ["lb1"]


def test_three_lbs_and_a_gateway_that_is_a_host(write) -> None:
    text = GOOD.replace("{user: ops}", "{user: ops, gateway: {address: 10.1.1.11}}")
    text += "  - {name: lb3, address: 10.1.1.13, roles: [lb], priority: 1}\n"
    assert names(load(write(text)).load_balancers) == ["lb2", "lb1", "lb3"]


def test_the_way_to_a_host(write, tmp_path: Path) -> None:
    """Several gateways, others for one host, none for another; and a host that is the gateway itself."""
    two = "gateway: [{address: b.example.org, key: keys/b}, {address: 10.1.1.101}]"
    text = GOOD.replace("{user: ops}", f"{{user: ops, {two}}}").replace("roles: [worker]", "roles: [worker], ssh: {gateway: []}")
    text = text.replace("roles: [lb], priority: 253", "roles: [lb], priority: 253, ssh: {gateway: {address: 10.9.9.9}}")
    site = load(write(text))
    first, second = Gateway(address="b.example.org", key=tmp_path / "keys/b"), Gateway(address=ip_address("10.1.1.101"))
    assert [site.hops(host) for host in site.hosts] == [
        (Gateway(address=ip_address("10.9.9.9")),),
        (first, second),
        (first,),
        (),
    ]
    assert names(site.behind(first)) == ["lb2", "master1"]
    assert names(site.behind(second)) == ["lb2"]


def keys(text: str, write) -> list[str]:
    with pytest.raises(SiteError) as caught:
        load(write(text))
    return [problem.key for problem in caught.value.problems]


def test_one_wrong_network_is_one_error_however_many_hosts_it_does_not_hold(write) -> None:
    many = "".join(f"  - {{name: w{n}, address: 10.1.1.{n}, roles: [worker]}}\n" for n in range(20, 90))
    for wrong in ("10.1.2.0/24", "10.1.1.0/32", "10.1.1.100/31", '"fd00:1::/64"'):
        assert keys((GOOD + many).replace("management: 10.1.1.0/24", f"management: {wrong}"), write) == ["networks.management"]


def test_a_31_has_neither_a_network_address_nor_a_broadcast_address() -> None:
    for text in ("10.1.1.100/31", "10.1.1.100/32"):
        assert misplaced(ip_address("10.1.1.100"), ip_network(text)) == ""


@pytest.mark.parametrize(
    "name",
    ["m1", "101", "localdomain", "lb1.localdomain", "ip6-gw", "kube-m1.dc1.example.com", "7a.b-c.0d", ".".join(["a" * 31] * 2)],
)
def test_names_of_hosts(name: str, write) -> None:
    assert load(write(GOOD.replace("name: master1", f'name: "{name}"'))).hosts[2].name == name


@pytest.mark.parametrize("user", ["ops", "svc.ansible", "_svc-1$", "Ops", "ops@ad.example.com", r"AD\ops", "0x", "k.8.s"])
def test_login_names(user: str, write) -> None:
    assert load(write(GOOD.replace("user: ops", f"user: {user}"))).ssh.user == user


def test_the_largest_and_smallest_networks_that_kubernetes_takes(write) -> None:
    """Two nodes."""
    for pods, services in (("10.244.0.0/23", "10.96.0.0/28"), ("11.0.0.0/8", "10.96.0.0/12")):
        load(write(GOOD.replace("10.244.0.0/16", pods).replace("10.96.0.0/12", services)))


@pytest.mark.parametrize(
    "arguments", ['node-cidr-mask-size: "26"', 'node-cidr-mask-size-ipv4: "26"', 'allocate-node-cidrs: "false"']
)
def test_the_pod_network_follows_the_controller_managers_flags(arguments: str, write) -> None:
    text = GOOD.replace("10.244.0.0/16", "10.244.0.0/25")
    assert keys(text, write) == ["networks.pods"]
    load(write(text.replace('"1.30.0"', f'"1.30.0", extra_args: {{controller_manager: {{{arguments}}}}}')))


def test_kubeadm_1_20_compares_the_pod_network_with_a_nodes_in_any_case(write) -> None:
    """As kubeadm 1.20.2 itself answered; from 1.21 on it does not."""
    text = GOOD.replace('"1.30.0"', '"1.20.2", extra_args: {controller_manager: {allocate-node-cidrs: "false"}}')
    assert keys(text.replace("10.244.0.0/16", "10.244.0.0/25"), write) == ["networks.pods"]
    load(write(text.replace("10.244.0.0/16", "10.244.0.0/24")))


def test_more_pods_than_a_node_has_addresses_for_is_a_warning(write) -> None:
    (warning,) = load_site(write(GOOD.replace('"1.30.0"', '"1.30.0", kubelet: {maxPods: 300}'))).warnings
    assert (warning.key, "enough for 254 pods" in warning.message) == ("kubernetes.kubelet.maxPods", True)


def test_an_endpoint_in_the_clusters_own_domain_is_a_warning(write) -> None:
    (warning,) = load_site(write(GOOD.replace("vip: 10.1.1.100", "vip: 10.1.1.100, name: api.cluster.local"))).warnings
    assert (warning.key, "pods will not find" in warning.message) == ("endpoint.name", True)


def test_an_endpoint_may_be_in_localdomain(write) -> None:
    for name in ("k8s-api.localdomain", "localhost-api.example.com"):
        assert not load_site(write(GOOD.replace("vip: 10.1.1.100", f"vip: 10.1.1.100, name: {name}"))).warnings


@pytest.mark.parametrize(
    "name", ["localhost", "a.localhost", "localhost.localdomain", "localhost4", "localhost6.localdomain6", "ip6-localhost"]
)
def test_a_name_that_every_machine_resolves_to_itself(name: str, write) -> None:
    assert keys(GOOD.replace("vip: 10.1.1.100", f"vip: 10.1.1.100, name: {name}"), write) == ["endpoint.name"]


def test_a_host_name_that_looks_like_an_address_is_refused(write) -> None:
    assert keys(GOOD.replace("name: master1", "name: 10.1.1.101"), write) == ["hosts[2].name"]


@pytest.mark.parametrize("cni", ["", ", cni: none", ", cni: calico.yaml"])
def test_fewer_subnets_than_nodes_is_a_warning_unless_flannel_needs_them(cni: str, write) -> None:
    text = GOOD.replace("10.244.0.0/16", "10.244.0.0/24").replace('"1.30.0"', f'"1.30.0"{cni}')
    (warning,) = load_site(write(text)).warnings
    assert (warning.key, "room for 1 nodes, but there are 2" in warning.message) == ("networks.pods", True)
    assert "Calico's IPAM" in warning.message
    assert keys(text.replace("10.244.0.0/24", "10.244.0.0/25"), write) == ["networks.pods"]  # kubeadm refuses it


@pytest.mark.parametrize("directory", ["/mnt", "/srv", "/var/backups", "/usr/local", "~/", ".", "link"])
def test_a_general_directory_for_sets_is_a_warning(
    directory: str, write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "link").symlink_to("/var/lib")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (warning,) = load_site(write(f"{GOOD}backup: {{directory: {directory}}}\n")).warnings
    assert (warning.key, "; write one below it, such as /" in warning.message) == ("backup.directory", True)


def test_a_link_into_the_system_is_refused(write, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/kubernetes")
    assert keys(f"{GOOD}backup: {{directory: link}}\n", write) == ["backup.directory"]


@pytest.mark.parametrize("directory", ["~/sets", "/mnt/sets", "/usr/local/backups", "/var/backups/sets", "..", "/run/lab/sets"])
def test_a_directory_for_sets_alone(directory: str, write) -> None:
    assert not load_site(write(f"{GOOD}backup: {{directory: {directory}}}\n")).warnings


def test_monitoring_has_defaults_for_everything(write) -> None:
    assert load(write(GOOD)).monitoring is None
    assert load(write(f"{GOOD}monitoring: {{form: files}}\n")).monitoring == Monitoring(form="files")


def test_metrics_that_the_site_has_bound_itself(write) -> None:
    args = "scheduler: {bind-address: 10.1.1.101}, controller_manager: {bind-address: '::'}"
    args += ", etcd: {listen-metrics-urls: 'http://127.0.0.1:2381,http://0.0.0.0:2381'}"
    text = GOOD.replace('"1.30.0"', f'"1.30.0", extra_args: {{{args}}}')
    assert not load_site(write(f"{text}monitoring: {{control_plane: bound}}\n")).warnings


@pytest.mark.parametrize(
    ("more", "key"),
    [
        ("monitoring: {scrapers: [0.0.0.0/0]}", "monitoring.scrapers[0]"),
        ("monitoring: {}\nbackup: {directory: /srv/sets}", "backup.metrics"),
    ],
)
def test_monitoring_that_is_possible_but_unwise_is_a_warning(more: str, key: str, write) -> None:
    (warning,) = load_site(write(f"{GOOD}{more}\n")).warnings
    assert warning.key == key


def test_warnings(write) -> None:
    path = write(GOOD.replace("[worker]", "[control-plane]"))
    even, idle = load_site(path).warnings
    assert (
        str(even) == f"{path}:7: hosts: 2 hosts with the role control-plane tolerate no more failures than 1: use an odd number"
    )
    assert str(idle) == f"{path}:7: hosts: no host has the role worker: nothing will run the workload"
    assert {even.severity, idle.severity} == {"warning"}


def test_an_even_control_plane_is_fine_with_etcd_elsewhere(write) -> None:
    text = GOOD.replace('"1.30.0"', '"1.30.0", etcd: external').replace("roles: [worker]", "roles: [control-plane, worker]")
    assert len(load(write(text)).control_plane) == 2


def test_the_file_is_named_as_an_operator_would(write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = write("name: site\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SiteError, match=r"^hosts\.yaml:1: endpoint: is missing"):
        load_site(path)
    with pytest.raises(SiteError, match=r"^hosts\.yaml:1: endpoint: is missing"):
        load_site(Path("hosts.yaml"))


def test_a_broken_value_does_not_hide_or_cause_others(write) -> None:
    """The roles of one host are unknown, so nobody can say whether there are enough LBs; the rest is checked all the same."""
    text = GOOD.replace("roles: [lb], priority: 253", "roles: [lob], priority: 254").replace("10.1.1.201", "10.1.1.12")
    with pytest.raises(SiteError) as caught:
        load_site(write(text))
    assert [(problem.line, problem.key) for problem in caught.value.problems] == [
        (8, "hosts[0].roles[0]"),
        (11, "hosts[3].address"),
    ]


def test_the_reference_has_every_key_with_its_default() -> None:
    """docs/site.md cannot go stale: neither a key too few, nor one too many, nor another default than the model's."""
    table = (ROOT / "docs" / "site.md").read_text().partition("## Every key")[2].partition("\n\nValues:")[0]
    rows = [[cell.strip() for cell in line.split("|")] for line in table.splitlines() if line.startswith("| `")]
    assert {row[1].strip("`"): row[3] for row in rows} == {key: _default(field) for key, field in fields()}


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    if field.default is msgspec.NODEFAULT:
        return f"`{field.default_factory()}`"
    if field.default is None:
        return "-"
    if isinstance(field.default, msgspec.Struct):
        return "see below"
    return f"`{str(field.default).lower() if isinstance(field.default, bool) else field.default}`"


def test_the_smallest_site_of_the_reference(write) -> None:
    page = (ROOT / "docs" / "site.md").read_text()
    text = page.partition("## The smallest site\n\n")[2].partition("\n\n")[0]
    assert load(write("".join(f"{line.removeprefix('    ')}\n" for line in text.splitlines()))).name == "site"


def test_every_pattern_explains_itself() -> None:
    """An operator must never read a regular expression."""
    patterns = [meta for hint in _hints() for meta in getattr(hint, "__metadata__", ()) if meta.pattern]
    assert patterns
    assert all(meta.description and meta.pattern.endswith("\\Z") for meta in patterns)


def _hints():
    stack: list[object] = [Site]
    while stack:
        hint = stack.pop()
        yield hint
        if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
            stack += [field.type for field in msgspec.structs.fields(hint)]
        elif not hasattr(hint, "__metadata__"):
            stack += [part for part in getattr(hint, "__args__", ()) if not isinstance(part, str | int)]


BASELINE = """baseline:
  time: {service: timesyncd, servers: [10.1.1.1, ntp.example, fd00::1]}
  sysctls: {net.ipv4.ip_forward: "1", vm.panic_on_oom: "0", net/ipv4/conf/eth0.100/rp_filter: "2", net.ipv4.tcp_rmem: "4096 131072 6291456"}
  modules: [ip_vs, nf_conntrack]
  hosts: {10.1.1.5: [registry.example, registry], 10.1.1.11: [lb1], fd00::5: [registry]}
  unattended_upgrades: keep-off
"""


def test_what_every_host_has_besides(write) -> None:
    site = load(write(f"{GOOD}{BASELINE}"))
    assert site.baseline.time == Time(service="timesyncd", servers=(ip_address("10.1.1.1"), "ntp.example", ip_address("fd00::1")))
    assert site.baseline.sysctls["net/ipv4/conf/eth0.100/rp_filter"] == "2"
    assert site.baseline.hosts == {"10.1.1.5": ("registry.example", "registry"), "10.1.1.11": ("lb1",), "fd00::5": ("registry",)}
    assert load(write(GOOD)).baseline == Baseline()
    text = yaml.safe_dump(msgspec.to_builtins(site, enc_hook=str), sort_keys=False)
    assert load(write(text)) == site


def test_a_sysctl_that_kube_proxy_sets_too(write) -> None:
    text = f'{GOOD}baseline: {{sysctls: {{net.netfilter.nf_conntrack_max: "1000000"}}}}\n'
    (warning,) = load_site(write(text)).warnings
    assert "maxPerCore: 0" in warning.message
    for quiet in ("kube_proxy: {conntrack: {maxPerCore: 0}}", "addons: {kube_proxy: false}"):
        assert load(write(text.replace('version: "1.30.0"', f'version: "1.30.0", {quiet}')))


def test_the_sysctls_that_are_not_free_are_those_that_this_tool_sets(write) -> None:
    """Of both families; the names are written down once more, since hosts.yaml is judged before anything of the tool is loaded."""
    site = load(write(GOOD))
    six = msgspec.structs.replace(
        site,
        networks=msgspec.structs.replace(site.networks, pods=ip_network("fd00:244::/56")),
        endpoint=msgspec.structs.replace(site.endpoint, vip=ip_address("fd00::1")),
    )
    for family, each in (("4", site), ("6", six)):
        ours = {sysctl_path(name) for name in (*setup_look.sysctls(each), nonlocal_bind(each))}
        ours |= {sysctl_path(other) for name, other in setup_look.ALIASES.items() if sysctl_path(name) in ours}
        tables = checks_baseline.OF_PREPARE | checks_baseline.OF_BALANCERS
        assert {path for path, families in tables.items() if family in families} == ours
