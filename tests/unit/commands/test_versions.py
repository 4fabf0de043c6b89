"""What versions-look.sh prints, what is made of it, and the versions in the cluster's objects."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from runbooks.commands import versions
from runbooks.commands.base import Answer
from runbooks.commands.objects import KUBEADM_CONFIG
from runbooks.commands.versions import COREDNS, KUBE_PROXY, PODS, AddonPod
from tests.support.fakes import bash

pytestmark = pytest.mark.unit

CONFIG = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nkubernetesVersion: v1.36.3\netcd:\n  local:\n    imageTag: 3.6.11-0\n"


def test_the_script_ends_well_whatever_is_installed():
    said = bash(versions.look().command.program)
    found = versions.parse_host(said)
    assert said.exited == 0
    assert found.kernel == os.uname().release
    assert found.os


def test_a_running_program_is_asked_even_when_its_file_is_gone(tmp_path):
    """The file of a process stays until it ends, so an upgraded package does not hide what runs."""
    program = tmp_path / "kube-scheduler"
    program.write_bytes(open("/usr/bin/sleep", "rb").read())  # noqa: PTH123, SIM115
    program.chmod(0o755)
    running = subprocess.Popen([program, "60"])
    try:
        program.unlink()
        said = versions.parse_host(bash(versions.look().command.program))
    finally:
        running.kill()
        running.wait()
    assert any(text.startswith("sleep (GNU coreutils)") for text in said.runs["kube-scheduler"])


def test_several_processes_of_one_program():
    said = "kernel 6.1\nruns kubelet Kubernetes v1.36.3\nruns kubelet Kubernetes v1.36.2\nruns kubelet Kubernetes v1.36.3\njoined yes\n"
    found = versions.parse_host(Answer(0, said))
    assert found.runs == {"kubelet": ("Kubernetes v1.36.2", "Kubernetes v1.36.3")}
    assert found.joined


def test_a_script_that_did_not_end_is_not_an_answer():
    with pytest.raises(ValueError, match="nothing about the kernel"):
        versions.parse_host(Answer(0, "joined yes\n"))


# ---- the cluster's objects


def workload(image):
    return {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}}


def pod(app, node, image, ready="True"):
    return {
        "metadata": {"name": app, "labels": {"k8s-app": app}},
        "spec": {"nodeName": node, "containers": [{"image": image}]},
        "status": {"conditions": [{"type": "Ready", "status": ready}]},
    }


def answer(**more):
    objects = {
        KUBEADM_CONFIG: {"data": {"ClusterConfiguration": CONFIG}},
        COREDNS: workload("a.example/coredns:v1.14.2"),
        KUBE_PROXY: workload("a.example/kube-proxy:v1.36.3"),
        PODS: {
            "items": [
                pod("kube-dns", "w1", "a.example/coredns:v1.14.2"),
                pod("kube-proxy", "m1", "a.example/kube-proxy:v1.36.2", "False"),
            ]
        },
    } | more
    lines = [f"{path} 1 {each}" if isinstance(each, str) else f"{path} 0 {json.dumps(each)}" for path, each in objects.items()]
    return Answer(0, "\n".join(["clock 1800000000", *lines]) + "\n")


def test_the_versions_in_the_objects():
    found = versions.parse_cluster(answer())
    assert (found.config, found.etcd_tag) == ("v1.36.3", "3.6.11-0")
    assert (found.dns, found.proxy) == ("a.example/coredns:v1.14.2", "a.example/kube-proxy:v1.36.3")
    assert found.dns_pods == (AddonPod(image="a.example/coredns:v1.14.2", node="w1", ready=True),)
    assert found.proxy_pods == (AddonPod(image="a.example/kube-proxy:v1.36.2", node="m1", ready=False),)
    assert found.errors == {}


def test_what_cannot_be_read_has_its_error():
    found = versions.parse_cluster(answer(**{COREDNS: 'Error from server (NotFound): deployments.apps "coredns" not found'}))
    assert found.dns == ""
    assert found.errors == {COREDNS: 'deployments.apps "coredns" not found'}


def test_an_object_of_another_form():
    with pytest.raises(ValueError, match="not as they should be"):
        versions.parse_cluster(answer(**{COREDNS: {"spec": {}}}))
