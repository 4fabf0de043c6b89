"""What a cluster can lose: one member's data, or the quorum of etcd."""

from __future__ import annotations

import json

from tests.support.operator import Operator, sh
from tests.support.stock import kubectl
from tests.support.waiting import eventually


def leader(operator: Operator) -> str:
    statuses = json.loads(operator.good("etcd.status", "--json"))["hosts"]
    return next(host for host, each in statuses.items() if each["status"]["leads"])


def not_leading(operator: Operator, host: str) -> None:
    """Let another member lead, so that what is done to ``host`` costs no election.

    A leader that lost its data has it back from the next leader at times, as if nothing had happened.
    """
    eventually(lambda: operator.trouble("etcd.status"), "", 180)  # a host may be starting
    if leader(operator) == host:
        operator.good(
            "etcd.move-leader", "--to", next(each.name for each in operator.lab.site().control_plane if each.name != host)
        )


def lose_data(operator: Operator, host: str) -> None:
    not_leading(operator, host)
    sh(operator, host, "systemctl stop kubelet; pkill -9 -x etcd; rm -rf /var/lib/etcd/member; systemctl start kubelet")


def without_quorum(operator: Operator, *hosts: str) -> None:
    """Cut the power of ``hosts``, the majority, for good; wait until the API server of master1 notices.

    It is asked for an object, which it reads with a quorum of etcd: some builds leave etcd out of /readyz.
    """
    operator.lab.off(*hosts)
    eventually(lambda: kubectl(operator, "--request-timeout=5s", "get", "namespace", "kube-system").returncode != 0)
