"""Flags and settings of a site that would break what kubeadm manages, and which key to use instead. Pure."""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from runbooks.errors import InventoryError
from runbooks.inventory.model import Site
from runbooks.rules import kubelet_flags

PER_NODE = "kubeadm sets a different value on each node; this one would be used on all of them"
MEMBERSHIP = "kubeadm manages the members: with one value for all of them, the first member waits for the others and never starts"
CERTIFICATES = "kubeadm makes, mounts and renews the certificates"
LOGIN = "kubeadm writes this file on each control plane host"
LIBRARY = "kubernetes.etcd_data_dir sets the directory, which is mounted, watched and restored; the log lies in it"
# Of each program: patterns of flags that are refused, and why. https://kubernetes.io/docs/reference/config-api/kubeadm-config.v1beta4/
KEPT: Mapping[str, tuple[tuple[str, str], ...]] = {
    "api_server": (
        ("advertise-address", PER_NODE),
        ("etcd-servers", "each API server uses the etcd on its own host"),
        ("etcd-*file", CERTIFICATES),
        ("tls-cert-file", CERTIFICATES),
        ("tls-private-key-file", CERTIFICATES),
        ("client-ca-file", CERTIFICATES),
        ("secure-port", "the load balancers and kubeadm's own probes expect 6443"),
        ("service-cluster-ip-range", "networks.services sets it"),
        ("enable-bootstrap-token-auth", "hosts join with bootstrap tokens"),
        ("audit-policy-file", "kubernetes.audit.policy sets it, since the file must be copied to the hosts"),
        ("audit-log-path", "the audit log is /var/log/kubernetes/audit.log; only that directory is mounted"),
        ("audit-log-maxage", "kubernetes.audit.max_age_days sets it"),
        ("audit-log-maxbackup", "kubernetes.audit.max_backups sets it"),
        ("audit-log-maxsize", "kubernetes.audit.max_size_mb sets it"),
    ),
    "controller_manager": (
        ("*kubeconfig", LOGIN),
        ("cluster-cidr", "networks.pods sets it"),
        ("service-cluster-ip-range", "networks.services sets it"),
        ("cluster-name", "kubernetes.cluster_name sets it, for kubeconfigs alike"),
    ),
    "scheduler": (("*kubeconfig", LOGIN),),
    "etcd": (
        ("name", MEMBERSHIP),
        ("initial-*", MEMBERSHIP),
        ("advertise-client-urls", MEMBERSHIP),
        ("listen-client-urls", MEMBERSHIP),
        ("listen-peer-urls", MEMBERSHIP),
        ("discovery*", MEMBERSHIP),
        ("force-new-cluster", "etcd would remove the other members at every start"),
        ("config-file", "with it, etcd ignores all flags, also those of kubeadm"),
        ("data-dir", LIBRARY),
        ("wal-dir", LIBRARY),
        ("*cert-file", CERTIFICATES),
        ("*key-file", CERTIFICATES),
        ("*trusted-ca-file", CERTIFICATES),
        ("*client-cert-auth", CERTIFICATES),
        ("*auto-tls", CERTIFICATES),
    ),
}
KEPT_KUBELET: Mapping[str, str] = {
    "apiVersion": "it is kubelet.config.k8s.io/v1beta1",
    "kind": "it is KubeletConfiguration",
    "cgroupDriver": "kubernetes.cgroup_driver sets it, because containerd needs the same value",
    "failSwapOn": "kubernetes.swap sets it",
    "clusterDomain": "kubernetes.domain sets it",
    "staticPodPath": "kubeadm writes the control plane's manifests to /etc/kubernetes/manifests",
    "containerRuntimeEndpoint": "the runtime is the containerd that cluster.prepare installs",
}
KEPT_KUBE_PROXY: Mapping[str, str] = {
    "apiVersion": "it is kubeproxy.config.k8s.io/v1alpha1",
    "kind": "it is KubeProxyConfiguration",
    "clusterCIDR": "networks.pods sets it",
    "clientConnection": "kubeadm writes kube-proxy's connection to the API server",
}
METRICS = ("http://127.0.0.1:2381", "http://[::1]:2381")  # kubeadm's own, for IPv4 and IPv6


def check(site: Site) -> None:
    """Raise InventoryError, naming the key, for the first setting of ``kubernetes`` that would break what kubeadm manages."""
    for key, message, hint in problems(site):
        raise InventoryError(f"{key}: {message}", hint=hint)


def problems(site: Site) -> Iterator[tuple[str, str, str]]:
    """Yield each setting of ``kubernetes`` that would break what kubeadm manages: its key, what is wrong, and what to write instead."""
    kubernetes = site.kubernetes
    if kubernetes.etcd != "stacked":
        hint = "write stacked: etcd then runs on the control plane hosts"
        yield "kubernetes.etcd", f"{kubernetes.etcd} is not supported yet", hint
    for program, patterns in KEPT.items():
        for flag in getattr(kubernetes.extra_args, program):
            # Kubernetes' programs accept etcd_servers for etcd-servers.
            why = next((why for pattern, why in patterns if fnmatchcase(flag.replace("_", "-"), pattern)), None)
            if why:
                yield f"kubernetes.extra_args.{program}.{flag}", f"may not be given: {why}", "delete the line"
    metrics = kubernetes.extra_args.etcd.get("listen-metrics-urls")
    if metrics is not None and metrics.split(",")[0] not in METRICS:
        # kubeadm makes the probes of etcd's pod from the first URL, and etcd.perf reads it.
        yield (
            "kubernetes.extra_args.etcd.listen-metrics-urls",
            f"{metrics} must start with {METRICS[0]}: etcd's health probes use it",
            f'write "{METRICS[0]},http://0.0.0.0:2381", and use a firewall to limit who can read them',
        )
    for name, settings, kept in (
        ("kubelet", kubernetes.kubelet, KEPT_KUBELET),
        ("kube_proxy", kubernetes.kube_proxy, KEPT_KUBE_PROXY),
    ):
        for field in kept:
            if field in settings:
                yield f"kubernetes.{name}.{field}", f"may not be given: {kept[field]}", "delete the line"
    yield from _of_nodes(site)


def _of_nodes(site: Site) -> Iterator[tuple[str, str, str]]:
    """Yield the kubelet's fields of roles and hosts that another key sets, or that this version cannot have for one host alone."""
    minor = int(site.kubernetes.version.split(".")[1])
    groups: dict[str, Mapping[str, Any]] = {f"hosts[{number}]": host.kubelet for number, host in enumerate(site.hosts)}
    groups |= {"roles.control_plane": site.roles.control_plane.kubelet, "roles.worker": site.roles.worker.kubelet}
    for group, settings in groups.items():
        for field, value in settings.items():
            key = f"{group}.kubelet.{field}"
            if field in KEPT_KUBELET:
                yield key, f"may not be given: {KEPT_KUBELET[field]}", "delete the line"
            elif why := kubelet_flags.refusal(field, value, minor):
                yield key, why, "write it under kubernetes.kubelet, for all nodes; or upgrade first"
