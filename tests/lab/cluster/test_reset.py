"""The last test of these: the whole cluster is taken apart, and nothing of it is left. (Its file's name puts it last.)"""

from __future__ import annotations

import pytest

from tests.support.operator import Operator, sh

pytestmark = pytest.mark.lab

NODES = ("master1", "master2", "master3", "worker1")


def test_a_cluster_is_taken_apart(cluster: Operator) -> None:
    cluster.good("cluster.reset", "--yes-destroy", "ha-cluster", timeout_s=300)
    for host in NODES:
        look = "ls /etc/ha-runbooks/metrics-proxy.cfg /etc/systemd/system/ha-runbooks-{metrics,certs}* /etc/kubernetes/*.conf /etc/kubernetes/pki /var/lib/etcd/member /var/lib/ha-runbooks/kubeadm/attempt; crictl ps -q"
        assert cluster.lab.console(host, ["bash", "-c", f"({look}) 2>/dev/null"]).stdout == ""
    said = cluster.inv("cluster.status")
    assert said.returncode == 1
    assert "inv cluster.init" in said.stdout + said.stderr
    cluster.idle("cluster.reset", "--yes-destroy", "ha-cluster")


LEFT = """
cat >>/etc/containerd/config.toml <<'EOF'

# hosts.yaml: kubernetes.containerd.registries, a.example
[plugins."io.containerd.grpc.v1.cri".registry.configs."a.example".auth]
  username = "puller"
  password = "horse"
EOF
mkdir -p /etc/containerd/certs.d/a.example /etc/containerd/certs.d/mine.example
echo '# Written by ha-runbooks.' >/etc/containerd/certs.d/a.example/hosts.toml
echo '# mine' >/etc/containerd/certs.d/mine.example/hosts.toml
"""


def test_a_login_that_was_left_goes_and_containerd_stays(cluster: Operator) -> None:
    before = sh(cluster, "worker1", "cat /etc/containerd/config.toml")
    sh(cluster, "worker1", LEFT)
    said = cluster.good("cluster.reset", "--host", "worker1", "--yes-destroy", "ha-cluster", "--diff")
    assert "horse" not in said
    assert "registries' logins and files" in said.splitlines()[-1], "it says what stays"
    assert sh(cluster, "worker1", "cat /etc/containerd/config.toml") == before
    assert (
        sh(cluster, "worker1", "ls /etc/containerd/certs.d/*/hosts.toml") == "/etc/containerd/certs.d/mine.example/hosts.toml\n"
    )
    assert sh(cluster, "worker1", "systemctl is-active containerd; crictl version >/dev/null && echo answers").split() == [
        "active",
        "answers",
    ]
