"""Settings of one host's kubelet below 1.25: which can be flags, and how they are written."""

import re
from typing import Any

import pytest

from runbooks.rules.kubelet_flags import FIELDS, FLAGS, flags, refusal
from tests.support import ROOT

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("field", "value", "minor", "told"),
    [
        ("maxPods", 50, 20, ""),
        ("maxPods", 50, 36, ""),
        ("memoryManagerPolicy", "Static", 24, "cannot have it below 1.25"),
        ("memoryManagerPolicy", "Static", 25, ""),
        ("evictionHard", {"memory.available": "1 Gi"}, 24, "cannot stand in the kubelet's flag --eviction-hard"),
        ("evictionHard", {"memory.available": ["1"]}, 24, "this value cannot be a flag"),
        ("systemReservedCgroup", "", 24, "cannot stand"),
        ("systemReservedCgroup", "$(reboot)", 24, "cannot stand"),
        ("maxPods", None, 24, "this value cannot be a flag"),
    ],
)
def test_what_one_host_cannot_have(field: str, value: Any, minor: int, told: str) -> None:
    said = refusal(field, value, minor)
    assert told in said
    assert bool(said) == bool(told)


def test_how_they_are_written() -> None:
    fields = {
        "maxPods": 50, "serializeImagePulls": False, "kubeAPIQPS": 5,
        "evictionSoft": {"memory.available": "1Gi"}, "systemReserved": {"cpu": "100m", "memory": "1Gi"},
        "enforceNodeAllocatable": ["pods", "system-reserved"],
    }  # fmt: skip
    cluster = {"systemReserved": {"pid": "100", "cpu": "1"}, "maxPods": 200}
    assert flags(fields, cluster) == {
        "max-pods": "50",
        "serialize-image-pulls": "false",
        "kube-api-qps": "5",
        "eviction-soft": "memory.available<1Gi",
        "system-reserved": "pid=100,cpu=100m,memory=1Gi",
        "enforce-node-allocatable": "pods,system-reserved",
    }


def test_the_fields_are_in_the_docs() -> None:
    words = (ROOT / "docs" / "cluster-config.md").read_text().partition("only these fields have a flag")[2].partition("\n\n")[0]
    assert re.findall(r"`(\w+)`", words) == sorted(FLAGS)


def test_no_flag_stands_for_two_fields() -> None:
    assert len(FIELDS) == len(FLAGS)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", flag) for flag in FLAGS.values())
