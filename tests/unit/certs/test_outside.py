"""A host of hosts.yaml that is in no cluster has no certificates: it is named, and neither waited for nor counted as lost."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from runbooks.certs.renew import all_answered, report_unreached, split_by_reachable, tell_outside
from runbooks.commands.certs import Certificate, HostCerts
from runbooks.errors import DegradedError, PrecheckError, UnreachableError
from tests.support.facts import worker
from tests.support.fakes import master

pytestmark = pytest.mark.unit

IN, OUT = (HostCerts(clock=1, joined=joined, openssl=True) for joined in (True, False))


def certificate(path: str) -> Certificate:
    return Certificate(path=path, ends=2, fingerprint="00")


GONE = UnreachableError("worker2: no route")


def test_a_host_in_no_cluster_is_told_and_does_not_degrade() -> None:
    reached, unreached = split_by_reachable({master(1): IN, worker(1): OUT})
    assert (list(reached), list(unreached), all_answered(unreached)) == ([master(1)], [worker(1)], True)
    said: list[str] = []
    session: Any = SimpleNamespace(run=SimpleNamespace(listener=SimpleNamespace(say=said.append)))
    tell_outside(session, unreached)
    assert len(said) == 1
    assert said[0].startswith("worker1 is in hosts.yaml, but has not joined")
    report_unreached(unreached, "inv recover.certs")


def test_a_host_that_does_not_answer_still_degrades() -> None:
    _, unreached = split_by_reachable({master(1): IN, worker(1): OUT, worker(2): GONE})
    assert not all_answered(unreached)
    with pytest.raises(DegradedError, match="nothing was renewed on worker2:") as error:
        report_unreached(unreached, "inv recover.certs")
    assert "worker1" not in str(error.value)


@pytest.mark.parametrize("left", [{"certificates": (certificate("/etc/kubernetes/pki/apiserver.crt"),)}, {"manifests": {"etcd"}}])
def test_a_member_that_only_lost_kubelet_conf_degrades(left: dict[str, Any]) -> None:
    """Kubernetes' guide for a kubelet whose certificate was not rotated says to delete that file."""
    _, unreached = split_by_reachable({master(1): IN, master(2): replace(OUT, **left)})
    assert not all_answered(unreached)
    with pytest.raises(DegradedError, match=r"master2: /etc/kubernetes/kubelet.conf is missing, but it has files of a cluster"):
        report_unreached(unreached, "inv recover.certs")


def test_a_host_with_only_a_kubeconfig_of_an_operator_is_in_no_cluster() -> None:
    _, unreached = split_by_reachable({master(1): IN, worker(1): replace(OUT, certificates=(certificate("/root/.kube/config"),))})
    assert all_answered(unreached)


def test_when_no_host_is_in_a_cluster_that_is_the_error() -> None:
    with pytest.raises(PrecheckError, match="it is in no cluster"):
        split_by_reachable({master(1): OUT})
