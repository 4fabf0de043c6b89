"""What kubeadm is given, checked field by field against the documented types of every version from 1.20 to 1.37."""

import re
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from runbooks.commands.base import MASK, Secret
from runbooks.errors import InventoryError
from runbooks.inventory.load import load_site
from runbooks.inventory.model import Host, Site
from runbooks.rules import kubeadm, kubeadm_discovery
from runbooks.rules.kubeadm_documents import documents

pytestmark = pytest.mark.unit

TYPES = Path(__file__).parent / "kubeadm_types"
MINORS = range(20, 38)
KEY = Secret("0123456789abcdef" * 4)
TOKEN = Secret("abcdef.0123456789abcdef")
HASH = f"sha256:{'c0ffee00' * 8}"

EVERYTHING = {
    "domain": "k8s.example",
    "cgroup_driver": "cgroupfs",
    "swap": "keep",
    "image_repository": "registry.company.local:5000/k8s",
    "audit": {"max_age_days": 7, "max_backups": 9, "max_size_mb": 11},
    "extra_args": {
        "api_server": {"v": "4", "profiling": "false", "feature-gates": "A=true,B=false"},
        "controller_manager": {"bind-address": "10.1.1.101"},
        "scheduler": {"v": "2"},
        "etcd": {"quota-backend-bytes": "8589934592", "listen-metrics-urls": "http://127.0.0.1:2381,http://0.0.0.0:2381"},
    },
    "kubelet": {
        "maxPods": 200,
        "systemReserved": {"cpu": "100m"},
        "evictionHard": {"memory.available": "5%", "nodefs.available": "10%"},
        "serializeImagePulls": False,
        "shutdownGracePeriod": "30s",
        "tlsCipherSuites": ["TLS_AES_128_GCM_SHA256"],
        "authentication": {"anonymous": {"enabled": False}},
    },
    "kube_proxy": {"mode": "ipvs", "ipvs": {"strictARP": True}, "conntrack": {"maxPerCore": 0}},
}


def described(directory: Path, *, family: int = 4, name: str | None = None, both: bool = False, **kubernetes: Any) -> Site:
    """A site file loaded with all its checks; ``both``: the second control plane host works as well."""
    net = "10.1.1." if family == 4 else "fd00::"
    text = {
        "name": "somewhere",
        "endpoint": {"vip": f"{net}100", "port": 7443} | ({"name": name} if name else {}),
        "networks": {
            "management": f"{net}0/24" if family == 4 else "fd00::/64",
            "pods": "10.244.0.0/16" if family == 4 else "fd01::/56",
            "services": "10.96.0.0/12" if family == 4 else "fd02::/108",
        },
        "kubernetes": {"version": "1.30.1"} | kubernetes,
        "load_balancer": {"interface": "eth0", "vrrp": {"id": 51}},
        "ssh": {"user": "ops"},
        "hosts": [
            *({"name": f"lb{n}", "address": f"{net}1{n}", "roles": ["lb"], "priority": 200 - n} for n in (1, 2)),
            *(
                {
                    "name": f"master{n}",
                    "address": f"{net}10{n}",
                    "roles": ["control-plane", "worker"] if both and n == 2 else ["control-plane"],
                }
                for n in (1, 2, 3)
            ),
            {"name": "worker1", "address": f"{net}201", "roles": ["worker"]},
        ],
    }
    path = directory / "hosts.yaml"
    path.write_text(yaml.safe_dump(text))
    return load_site(path).site


SITES: dict[str, dict[str, Any]] = {
    "minimal": {},
    "everything": {"name": "k8s.company.local", **EVERYTHING},
    "IPv6": {"family": 6},
    "addons off": {"addons": {"coredns": False, "kube_proxy": False}, "both": True},
    "private registry": {"image_repository": "registry.company.local:5000/k8s"},
}


@pytest.fixture
def make(tmp_path):
    return lambda **options: described(tmp_path, **options)


def read(text: str) -> dict[str, dict[str, Any]]:
    found = list(yaml.safe_load_all(text))
    assert len({one["kind"] for one in found}) == len(found)
    return {one["kind"]: one for one in found}


def rendered(site: Site, minor: int) -> dict[str, str]:
    version = (1, minor, 2)
    first, second, worker = site.control_plane[0], site.control_plane[1], site.workers[-1]
    return {
        "init": kubeadm.init_config(site, first, version, KEY),
        "init without certificates": kubeadm.init_config(site, first, version, None),
        "join control plane": kubeadm.join_config(site, second, version, TOKEN, HASH, KEY),
        "join worker": kubeadm.join_config(site, worker, version, TOKEN, HASH, None),
        "upload-certs": kubeadm.upload_certs_config(site, second, version, KEY),
    }


# ---- the documented types


@cache
def table(name: str) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = yaml.safe_load((TYPES / f"{name}.yaml").read_text())
    return found


def table_of(api: str) -> str:
    group, version = api.split("/")
    return {"kubelet.config.k8s.io": "kubelet-", "kubeproxy.config.k8s.io": "kubeproxy-", "kubeadm.k8s.io": ""}[group] + version


def faults(document: dict[str, Any], minor: int) -> list[str]:
    """Everything in ``document`` that the types of its API in version 1.``minor`` do not have."""
    name = table_of(document["apiVersion"])
    return list(_struct(table(name), document["kind"], document, document["kind"], minor))


def _struct(types, struct, value, path, minor):
    if not isinstance(value, dict):
        yield f"{path} is no {struct}"
        return
    fields = types[struct]
    for field, inner in value.items():
        if field not in fields:
            yield f"{path}.{field} is unknown"
            continue
        shape, since, until = _shape(fields[field])
        if not since <= minor <= until:
            yield f"{path}.{field} is not in 1.{minor}"
        yield from _value(types, shape.removesuffix("!"), inner, f"{path}.{field}", minor)
    yield from (f"{path}.{field} is missing" for field, shape in fields.items() if "!" in shape and field not in value)


def _shape(text):
    words = text.replace("map ", "map:").split()
    limits = dict(zip(words[1::2], words[2::2], strict=True))
    return words[0], int(limits.get("since", "1.0")[2:]), int(limits.get("until", "1.99")[2:])


PLAIN = {"string": str, "bool": bool, "int": int, "number": float, "duration": str}


def _value(types, shape, value, path, minor):
    many, mark, inner = shape.partition("]" if shape.startswith("[]") else ":")
    if mark:
        kind, each = (list, enumerate) if many == "[" else (dict, dict.items)
        if not isinstance(value, kind):
            yield f"{path} is no {'list' if kind is list else 'map'}"
            return
        for key, one in each(value):
            yield from _value(types, inner, one, f"{path}[{key}]" if kind is list else f"{path}.{key}", minor)
    elif shape in PLAIN:
        yield from _plain(shape, value, path)
    elif shape != "any":
        yield from _struct(types, shape, value, path, minor)


def _plain(shape, value, path):
    if type(value) is not PLAIN[shape]:
        yield f"{path} is {type(value).__name__}, not {shape}"
    elif shape == "duration" and not re.fullmatch(r"([0-9]+(h|m|s|ms))+", value):
        yield f"{path} is no duration"


@pytest.mark.parametrize(
    ("options", "minor"), list(product(SITES.values(), MINORS)), ids=lambda one: str(one) if type(one) is int else ""
)
def test_every_rendered_field_is_documented_for_that_version(make, options, minor):
    site = make(**options)
    for what, text in rendered(site, minor).items():
        for kind, document in read(text).items():
            assert faults(document, minor) == [], f"{what}: {kind}"


@pytest.mark.parametrize(
    ("minor", "change", "expected"),
    [
        (28, lambda c: c["apiServer"].update(advertiseAddress="10.1.1.101"), "apiServer.advertiseAddress is unknown"),
        (31, lambda c: c["apiServer"].update(extraArgs={"v": "4"}), "apiServer.extraArgs is no list"),
        (30, lambda c: c["apiServer"].update(extraArgs=[{"name": "v", "value": "4"}]), "apiServer.extraArgs is no map"),
        (28, lambda c: c["etcd"]["local"].update(initialCluster="a=b"), "etcd.local.initialCluster is unknown"),
        (30, lambda c: c.update(dns={"disabled": True}), "dns.disabled is unknown"),
        (28, lambda c: c["apiServer"].update(extraArgs={"v": 4}), "apiServer.extraArgs.v is int, not string"),
        (28, lambda c: c["etcd"]["local"].pop("dataDir"), "etcd.local.dataDir is missing"),
        (20, lambda c: c.update(dns={}), "dns.type is missing"),
        (31, lambda c: c["apiServer"].update(timeoutForControlPlane="4m0s"), "apiServer.timeoutForControlPlane is unknown"),
        (
            28,
            lambda c: c["apiServer"].update(timeoutForControlPlane=240),
            "apiServer.timeoutForControlPlane is int, not duration",
        ),
        (28, lambda c: c["apiServer"]["extraVolumes"][0].update(readOnly="true"), "extraVolumes[0].readOnly is str, not bool"),
    ],
)
def test_the_check_sees_mistakes(make, minor, change, expected):
    cluster = read(kubeadm.init_config(make(), make().control_plane[0], (1, minor, 0), KEY))["ClusterConfiguration"]
    assert faults(cluster, minor) == []
    change(cluster)
    (found,) = faults(cluster, minor)
    assert found.endswith(expected)


@pytest.mark.parametrize(
    ("minor", "settings", "expected"),
    [
        (27, {"failCgroupV1": True}, ["KubeletConfiguration.failCgroupV1 is not in 1.27"]),
        (31, {"failCgroupV1": True}, []),
        (20, {"memorySwap": {"swapBehavior": "LimitedSwap"}}, ["KubeletConfiguration.memorySwap is not in 1.20"]),
        (30, {"maxPods": "200"}, ["KubeletConfiguration.maxPods is str, not int"]),
        (30, {"maxpods": 200}, ["KubeletConfiguration.maxpods is unknown"]),
    ],
)
def test_the_check_knows_which_kubelet_has_which_field(make, minor, settings, expected):
    kubelet = read(kubeadm.init_config(make(kubelet=settings), make().control_plane[0], (1, minor, 0), KEY))[
        "KubeletConfiguration"
    ]
    assert [one.partition(".swapBehavior")[0] for one in faults(kubelet, minor)][: len(expected) or None] == expected


# ---- what is in them


def test_init_says_where_the_first_node_is_and_what_the_cluster_is(make):
    site = make(name="k8s.company.local")
    found = read(kubeadm.init_config(site, site.control_plane[0], (1, 28, 0), KEY))
    init, cluster = found["InitConfiguration"], found["ClusterConfiguration"]
    assert init["localAPIEndpoint"] == {"advertiseAddress": "10.1.1.101", "bindPort": 6443}
    assert init["nodeRegistration"] == {
        "name": "master1",
        "criSocket": "unix:///run/containerd/containerd.sock",
        "kubeletExtraArgs": {"node-ip": "10.1.1.101"},
    }
    assert init["certificateKey"] == KEY
    assert init["bootstrapTokens"] == [{"ttl": "15m0s"}]
    assert cluster["kubernetesVersion"] == "v1.30.1"
    assert cluster["clusterName"] == "somewhere"
    assert cluster["controlPlaneEndpoint"] == "k8s.company.local:7443"
    assert cluster["networking"] == {"podSubnet": "10.244.0.0/16", "serviceSubnet": "10.96.0.0/12", "dnsDomain": "cluster.local"}
    masters = ["master1", "10.1.1.101", "master2", "10.1.1.102", "master3", "10.1.1.103"]
    assert cluster["apiServer"]["certSANs"] == ["10.1.1.100", "k8s.company.local", *masters]
    assert cluster["etcd"]["local"] == {"dataDir": "/var/lib/etcd", "serverCertSANs": masters, "peerCertSANs": masters}
    assert not {"controllerManager", "scheduler", "imageRepository", "dns", "proxy"} & cluster.keys()
    assert found["KubeletConfiguration"]["cgroupDriver"] == "systemd"
    assert "failSwapOn" not in found["KubeletConfiguration"]

    assert found["KubeProxyConfiguration"]["clusterCIDR"] == "10.244.0.0/16"


def test_a_cluster_that_somebody_else_has_built_keeps_its_name_and_the_place_of_its_data(make):
    site = make(cluster_name="kubernetes", etcd_data_dir="/data/etcd")
    cluster = read(kubeadm.init_config(site, site.control_plane[0], (1, 28, 0), KEY))["ClusterConfiguration"]
    assert (cluster["clusterName"], cluster["etcd"]["local"]["dataDir"], site.name) == ("kubernetes", "/data/etcd", "somewhere")


def test_audit_flags_point_into_what_is_mounted(make):
    site = make(audit={"max_age_days": 7, "max_backups": 9, "max_size_mb": 11}, extra_args={"api_server": {"v": "4"}})
    server = read(kubeadm.init_config(site, site.control_plane[0], (1, 28, 0), KEY))["ClusterConfiguration"]["apiServer"]
    assert server["extraArgs"] == {
        "audit-policy-file": "/etc/kubernetes/audit-policy.yaml",
        "audit-log-path": "/var/log/kubernetes/audit.log",
        "audit-log-maxage": "7",
        "audit-log-maxbackup": "9",
        "audit-log-maxsize": "11",
        "v": "4",
    }
    policy, log = server["extraVolumes"]
    assert policy["mountPath"] == policy["hostPath"] == server["extraArgs"]["audit-policy-file"]
    assert (policy["readOnly"], policy["pathType"]) == (True, "File")
    assert server["extraArgs"]["audit-log-path"].startswith(f"{log['mountPath']}/")
    assert (log["hostPath"], log["pathType"], "readOnly" in log) == ("/var/log/kubernetes", "DirectoryOrCreate", False)


def test_flags_are_the_same_as_a_map_and_as_a_list(make):
    site = make(**EVERYTHING)
    old, new = (
        read(kubeadm.init_config(site, site.control_plane[0], (1, minor, 0), KEY))["ClusterConfiguration"] for minor in (30, 31)
    )
    for at in (("apiServer",), ("controllerManager",), ("scheduler",), ("etcd", "local")):
        before, after = old, new
        for key in at:
            before, after = before[key], after[key]
        assert [{"name": name, "value": value} for name, value in before["extraArgs"].items()] == after["extraArgs"]


def test_ipv6_is_in_brackets_only_before_a_port(make):
    site = make(family=6)
    found = read(kubeadm.init_config(site, site.control_plane[0], (1, 28, 0), KEY))
    assert found["ClusterConfiguration"]["controlPlaneEndpoint"] == "[fd00::100]:7443"
    assert found["InitConfiguration"]["localAPIEndpoint"]["advertiseAddress"] == "fd00::101"
    assert found["ClusterConfiguration"]["apiServer"]["certSANs"][0] == "fd00::100"
    assert found["ClusterConfiguration"]["networking"]["podSubnet"] == "fd01::/56"


def test_join_trusts_only_this_cluster(make):
    site = make()
    second, worker = site.control_plane[1], site.workers[0]
    join = read(kubeadm.join_config(site, second, (1, 28, 0), TOKEN, HASH, KEY))["JoinConfiguration"]
    assert join["discovery"] == {
        "bootstrapToken": {"token": str(TOKEN), "apiServerEndpoint": "10.1.1.100:7443", "caCertHashes": [HASH]}
    }
    assert join["controlPlane"] == {
        "localAPIEndpoint": {"advertiseAddress": "10.1.1.102", "bindPort": 6443},
        "certificateKey": str(KEY),
    }
    assert join["nodeRegistration"]["name"] == "master2"
    plain = read(kubeadm.join_config(site, worker, (1, 28, 0), TOKEN, HASH, KEY))["JoinConfiguration"]
    assert "controlPlane" not in plain
    assert str(KEY) not in str(plain)


def test_a_join_by_file_has_the_ca_itself(make):
    site = make()
    join = read(kubeadm.join_config(site, site.control_plane[1], (1, 28, 0), TOKEN, None, KEY))["JoinConfiguration"]
    assert join["discovery"] == {
        "file": {"kubeConfigPath": "/run/ha-runbooks-kubeadm/discovery.conf"},
        "tlsBootstrapToken": str(TOKEN),
    }
    found = yaml.safe_load(kubeadm_discovery.file(site, "PEM\n"))
    (cluster,) = found["clusters"]
    assert cluster["cluster"] == {"server": "https://10.1.1.100:7443", "certificate-authority-data": "UEVNCg=="}
    assert [each["user"] for each in found["users"]] == [{}]


def test_only_a_control_plane_host_that_is_no_worker_keeps_its_taint(make):
    site = make(both=True)
    texts = [kubeadm.join_config(site, host, (1, 28, 0), TOKEN, HASH, KEY) for host in site.hosts[2:]]
    taints = [read(text)["JoinConfiguration"]["nodeRegistration"].get("taints", "default") for text in texts]
    assert taints == ["default", [], "default", "default"]


def test_swap_that_stays_is_borne_by_kubelet_and_kubeadm(make):
    site = make(swap="keep")
    found = read(kubeadm.init_config(site, site.control_plane[0], (1, 28, 0), KEY))
    assert found["KubeletConfiguration"]["failSwapOn"] is False
    assert found["InitConfiguration"]["nodeRegistration"]["ignorePreflightErrors"] == ["Swap"]


@pytest.mark.parametrize("minor", MINORS)
def test_addons_are_left_out_one_way_or_the_other(make, minor):
    site = make(addons={"coredns": False, "kube_proxy": False})
    found = read(kubeadm.init_config(site, site.control_plane[0], (1, minor, 0), KEY))
    skipped = kubeadm.skip_phases(site, (1, minor, 0))
    cluster = found["ClusterConfiguration"]
    assert "KubeProxyConfiguration" not in found
    if minor < 31:
        assert skipped == ("addon/coredns", "addon/kube-proxy")
        assert not {"dns", "proxy"} & cluster.keys()
    else:
        assert skipped == ()
        assert (cluster["dns"], cluster["proxy"]) == ({"disabled": True}, {"disabled": True})
    assert kubeadm.skip_phases(make(addons={"coredns": False}), (1, 20, 2)) == ("addon/coredns",)
    assert kubeadm.skip_phases(make(), (1, minor, 0)) == ()


def test_settings_of_the_site_are_laid_over_ours(make):
    site = make(kubelet={"maxPods": 200, "authentication": {"anonymous": {"enabled": False}}}, kube_proxy={"mode": "ipvs"})
    found = read(kubeadm.init_config(site, site.control_plane[0], (1, 28, 0), KEY))
    assert found["KubeletConfiguration"] == {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "cgroupDriver": "systemd",
        "maxPods": 200,
        "authentication": {"anonymous": {"enabled": False}},
    }
    assert found["KubeProxyConfiguration"]["mode"] == "ipvs"


def test_upload_certs_knows_the_version_and_nothing_it_does_not_need(make):
    site = make()
    found = read(kubeadm.upload_certs_config(site, site.control_plane[1], (1, 20, 2), KEY))
    assert list(found) == ["InitConfiguration", "ClusterConfiguration"]
    assert found["InitConfiguration"]["certificateKey"] == KEY
    assert found["InitConfiguration"]["nodeRegistration"]["name"] == "master2"
    assert found["ClusterConfiguration"]["kubernetesVersion"] == "v1.30.1"


def test_what_is_rendered_is_a_secret_as_a_whole(make):
    for text in rendered(make(), 28).values():
        assert isinstance(text, Secret)
        assert repr(text) == MASK


# ---- versions


def test_api_versions():
    assert [kubeadm.api_version((1, minor, 0)) for minor in (20, 21, 22, 30, 31, 37, 40)] == [
        *("v1beta2", "v1beta2", "v1beta3", "v1beta3", "v1beta4", "v1beta4", "v1beta4")
    ]


@pytest.mark.parametrize("version", [(1, 19, 16), (1, 0, 0), (2, 25, 0), (0, 25, 0)])
def test_a_version_that_nobody_looked_at_is_refused(version):
    with pytest.raises(InventoryError, match=r"^kubernetes\.version: .* 1\.20 and newer \(checked up to 1\.37\)"):
        kubeadm.api_version(version)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("v1.20.2", (1, 20, 2)),
        ("1.20.2", (1, 20, 2)),
        (" v1.31.0-rc.1+x\n", (1, 31, 0)),
        ("v1.28.7+k3s1", (1, 28, 7)),
    ],
)
def test_versions_of_programs(text, expected):
    assert kubeadm.parse(text) == expected


@pytest.mark.parametrize("text", ["", "1.20", "v1.20.x", "1.20.2.3", "latest", "vv1.20.2", "1.20.2 1.20.3", "1.20.2-", "٣.1.1"])
def test_what_is_no_version(text):
    with pytest.raises(ValueError, match="is not a version of Kubernetes"):
        kubeadm.parse(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1.20.2-1.1", (1, 20, 2)),
        ("1.28.0-00", (1, 28, 0)),
        ("0:1.28.0-150500.1.1", (1, 28, 0)),
        ("1.35.1~rc.0-1", (1, 35, 1)),
        ("1.20.5+really1.20.2-1", (1, 20, 2)),
    ],
)
def test_versions_of_packages(text, expected):
    assert kubeadm.kubeadm_version(text) == expected


@pytest.mark.parametrize("text", ["", "1.20-1", "(none)", "a:1.20.2", "1.20.2.1-1", "1.20.2x"])
def test_what_is_no_package_version(text):
    with pytest.raises(ValueError):
        kubeadm.kubeadm_version(text)


# ---- what a site may not say


@pytest.mark.parametrize(
    ("program", "flag", "why"),
    [
        ("etcd", "initial-cluster", "kubeadm manages the members"),
        ("etcd", "initial-cluster-state", "kubeadm manages the members"),
        ("etcd", "initial-advertise-peer-urls", "kubeadm manages the members"),
        ("etcd", "listen-client-urls", "kubeadm manages the members"),
        ("etcd", "listen-peer-urls", "kubeadm manages the members"),
        ("etcd", "name", "kubeadm manages the members"),
        ("etcd", "data-dir", "kubernetes.etcd_data_dir"),
        ("etcd", "wal-dir", "kubernetes.etcd_data_dir"),
        ("etcd", "force-new-cluster", "remove the other members"),
        ("etcd", "peer-key-file", "certificates"),
        ("etcd", "config-file", "ignores all flags"),
        ("api_server", "advertise-address", "a different value on each node"),
        ("api_server", "etcd-servers", "the etcd on its own host"),
        ("api_server", "etcd_servers", "the etcd on its own host"),
        ("api_server", "audit-log-path", "/var/log/kubernetes/audit.log"),
        ("api_server", "audit-policy-file", "kubernetes.audit.policy"),
        ("api_server", "service-cluster-ip-range", "networks.services"),
        ("controller_manager", "cluster-cidr", "networks.pods"),
        ("scheduler", "authentication-kubeconfig", "kubeadm writes"),
    ],
)
def test_flags_that_break_what_kubeadm_manages_are_refused(make, program, flag, why):
    site = make(extra_args={program: {flag: "x"}})
    for build in (
        lambda: kubeadm.init_config(site, site.control_plane[0], (1, 28, 0), KEY),
        lambda: kubeadm.upload_certs_config(site, site.control_plane[0], (1, 28, 0), KEY),
        lambda: kubeadm.join_config(site, site.workers[0], (1, 28, 0), TOKEN, HASH, None),
    ):
        with pytest.raises(InventoryError) as caught:
            build()
        assert str(caught.value).startswith(f"kubernetes.extra_args.{program}.{flag}: may not be given: ")
        assert why in str(caught.value)


@pytest.mark.parametrize(
    ("urls", "fine"),
    [
        ("http://127.0.0.1:2381", True),
        ("http://127.0.0.1:2381,http://0.0.0.0:2381", True),
        ("http://[::1]:2381", True),
        ("http://0.0.0.0:2381", False),
        ("http://0.0.0.0:2381,http://127.0.0.1:2381", False),
        ("http://127.0.0.1:23810", False),
        ("https://127.0.0.1:2381", False),
    ],
)
def test_etcds_probe_stays_where_kubeadm_asks(make, urls, fine):
    site = make(extra_args={"etcd": {"listen-metrics-urls": urls}})
    if fine:
        kubeadm.init_config(site, site.control_plane[0], (1, 28, 0), KEY)
        return
    with pytest.raises(InventoryError, match="listen-metrics-urls"):
        kubeadm.init_config(site, site.control_plane[0], (1, 28, 0), KEY)


@pytest.mark.parametrize(
    ("part", "field", "value"),
    [
        ("kubelet", "kind", "Pod"),
        ("kubelet", "cgroupDriver", "cgroupfs"),
        ("kubelet", "failSwapOn", False),
        ("kubelet", "staticPodPath", "/x"),
        ("kube_proxy", "clusterCIDR", "10.0.0.0/8"),
    ],
)
def test_settings_that_belong_elsewhere_are_refused(make, part, field, value):
    site = make(**{part: {field: value}})
    with pytest.raises(InventoryError, match=rf"^kubernetes\.{part}\.{field}: may not be given: "):
        kubeadm.init_config(site, site.control_plane[0], (1, 28, 0), KEY)


def test_external_etcd_is_not_built(make):
    site = make(etcd="external")
    with pytest.raises(InventoryError, match=r"^kubernetes\.etcd: external is not supported yet"):
        kubeadm.init_config(site, site.control_plane[0], (1, 28, 0), KEY)


@pytest.mark.parametrize(
    ("token", "ca_hash", "key"),
    [
        ("abcdef.0123456789abcde", HASH, KEY),
        ("ABCDEF.0123456789abcdef", HASH, KEY),
        (TOKEN, "c0ffee00" * 8, KEY),
        (TOKEN, HASH, "0123"),
        (TOKEN, HASH, "G" * 64),
        (TOKEN, HASH, KEY + "\n"),
        (TOKEN, HASH, None),
    ],
)
def test_secrets_of_the_wrong_shape_are_refused_and_not_shown(make, token, ca_hash, key):
    site = make()
    with pytest.raises(ValueError) as caught:
        kubeadm.join_config(site, site.control_plane[1], (1, 28, 0), Secret(token), ca_hash, key and Secret(key))
    assert not any(word and word.strip() in str(caught.value) for word in (token, ca_hash, key))


# ---- YAML


SCALARS = st.one_of(
    st.text(),
    st.sampled_from(
        ["", "on", "null", "~", "1e3", "0x1f", "1:30", "---", "- a", "# b", "{", "\u2028", "\x85", "\U0001f600", '"\\']
    ),
    st.integers(),
    st.booleans(),
    st.none(),
    st.floats(allow_nan=False, allow_infinity=False),
)
KEYS = st.one_of(st.text(max_size=40), st.sampled_from(["y", "on", "null", "memory.available", "a b", "---", "kind"]))
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)


@given(st.lists(st.dictionaries(KEYS, VALUES, min_size=1, max_size=5), min_size=1, max_size=3))
def test_any_values_come_back_from_yaml(values):
    text = documents(*values)
    assert list(yaml.safe_load_all(text)) == values
    assert text.isascii()
    # kubeadm splits the file at such lines before it reads any YAML.
    assert text.splitlines().count("---") == len(values) - 1
    assert sum(line.startswith("---") for line in text.splitlines()) == len(values) - 1


def test_other_things_are_no_configuration():
    with pytest.raises(yaml.representer.RepresenterError):
        documents({"a": Path("/etc")})


@given(
    words=st.tuples(
        st.from_regex(r"\A[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?\Z"),
        st.from_regex(r"\A[a-z]([a-z0-9-]{0,20}[a-z0-9])?\Z"),
        st.text(max_size=30),
    ),
    address=st.ip_addresses(),
    vip=st.ip_addresses(),
    port=st.integers(1, 65535),
    minor=st.sampled_from(MINORS),
)
def test_any_site_comes_back_from_yaml(given_site, words, address, vip, port, minor):
    replace = msgspec.structs.replace
    name, domain, flag = words
    host = Host(name=name, address=address, roles=("control-plane",))
    site = replace(
        given_site,
        name=name,
        endpoint=replace(given_site.endpoint, vip=vip, port=port),
        kubernetes=replace(
            given_site.kubernetes,
            domain=domain,
            extra_args=replace(given_site.kubernetes.extra_args, scheduler={"v": flag}),
        ),
        hosts=(host,),
    )
    found = read(kubeadm.init_config(site, host, (1, minor, 0), KEY))
    init, cluster = found["InitConfiguration"], found["ClusterConfiguration"]
    assert init["nodeRegistration"]["name"] == cluster["clusterName"] == name
    assert init["localAPIEndpoint"]["advertiseAddress"] == str(address)
    assert cluster["networking"]["dnsDomain"] == domain
    assert cluster["apiServer"]["certSANs"] == list(dict.fromkeys([str(vip), name, str(address)]))
    endpoint, _, given_port = cluster["controlPlaneEndpoint"].rpartition(":")
    assert (endpoint.strip("[]"), given_port) == (str(vip), str(port))
    assert (endpoint[0] == "[") == (vip.version == 6)
    assert cluster["scheduler"]["extraArgs"] == ({"v": flag} if minor < 31 else [{"name": "v", "value": flag}])


@pytest.fixture(scope="module")
def given_site(tmp_path_factory):
    return described(tmp_path_factory.mktemp("site"))


@pytest.mark.parametrize(
    ("version", "etcd", "voter"),
    [("1.20.2", "stacked", True), ("1.28.15", "stacked", True), ("1.29.0", "stacked", False), ("1.20.2", "external", False)],
)
def test_whose_member_kubeadm_would_add_as_a_voter(tmp_path, version, etcd, voter):
    """Only on control plane hosts."""
    there = described(tmp_path, version=version)
    site = msgspec.structs.replace(there, kubernetes=msgspec.structs.replace(there.kubernetes, etcd=etcd))
    assert {kubeadm.would_add_voter(site, host) for host in site.control_plane} == {voter}
    assert not any(kubeadm.would_add_voter(site, host) for host in site.workers)
