"""The last test of these: the whole cluster is taken apart, and nothing of it is left. (Its file's name puts it last.)"""

from __future__ import annotations

import pytest

from tests.support.operator import Operator

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
