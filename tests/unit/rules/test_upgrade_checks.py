"""What kubeadm is told to ignore in an upgrade is what the site is a reason for, and nothing besides."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.inventory.model import Site
from runbooks.inventory.settings import Addons
from runbooks.rules.upgrade_checks import COREDNS, flags, ignored
from tests.support.fakes import site
from tests.support.kubeadm import parse_preflight
from tests.support.recorded import recorded_answer

pytestmark = pytest.mark.unit

TOLD = {"failCgroupV1": False}


def where(*, coredns: bool = True, kube_proxy: bool = True, kubelet: dict[str, Any] | None = None) -> Site:
    addons = Addons(coredns=coredns, kube_proxy=kube_proxy)
    return msgspec.structs.replace(
        site(), kubernetes=msgspec.structs.replace(site().kubernetes, addons=addons, kubelet=kubelet or {})
    )


def names(which: Site, target: tuple[int, int, int], *, images_there: bool = False) -> list[str]:
    return [each.check for each in ignored(which, target, images_there=images_there)]


@pytest.mark.parametrize("version", ["1.20.3", "1.31.14", "1.34.9", "1.36.3"])
def test_kubeadm_refuses_without_coredns_what_we_tell_it_to_ignore(version: str) -> None:
    said = parse_preflight(recorded_answer(f"kubernetes/{version}-upgrade-plan-no-coredns-refused"))
    major, minor, patch = map(int, version.split("."))
    assert said["refuse"] == names(where(coredns=False), (major, minor, patch))


def test_told_so_it_goes_on() -> None:
    said = parse_preflight(recorded_answer("kubernetes/1.34.9-upgrade-plan-no-coredns-told-to-accept"))
    assert (said["refuse"], said["warn"]) == ([], list(COREDNS))


@pytest.mark.parametrize(
    ("target", "kubelet", "told"),
    [
        ((1, 34, 9), TOLD, False),
        ((1, 35, 0), TOLD, True),
        ((1, 36, 3), TOLD, True),
        ((1, 36, 3), {"failCgroupV1": True}, False),
        ((1, 36, 3), {}, False),
    ],
)
def test_the_hosts_own_check_only_where_the_site_accepts_cgroup_v1_and_on_hosts_that_have_it(
    target: tuple[int, int, int], kubelet: dict[str, Any], told: bool
) -> None:
    found = ignored(where(kubelet=kubelet), target)
    assert flags(found, "v1") == (("--ignore-preflight-errors=SystemVerification",) if told else ())
    assert flags(found, "v2") == ()


def test_images_only_where_an_addon_is_off_and_the_others_were_seen() -> None:
    target = (1, 30, 1)
    assert names(where(), target, images_there=True) == []
    assert names(where(coredns=False), target) == list(COREDNS)
    assert names(where(coredns=False), target, images_there=True) == [*COREDNS, "ImagePull"]
    assert names(where(kube_proxy=False), target, images_there=True) == ["ImagePull"]
    (why,) = [each.why for each in ignored(where(kube_proxy=False), target, images_there=True)]
    assert "the image of kube-proxy, which is off" in why


@given(
    coredns=st.booleans(),
    kube_proxy=st.booleans(),
    fail=st.sampled_from([{}, {"failCgroupV1": True}, TOLD]),
    minor=st.integers(20, 40),
    there=st.booleans(),
)
def test_never_wholesale(*, coredns: bool, kube_proxy: bool, fail: dict[str, Any], minor: int, there: bool) -> None:
    found = ignored(where(coredns=coredns, kube_proxy=kube_proxy, kubelet=fail), (1, minor, 1), images_there=there)
    assert {each.check for each in found} <= {*COREDNS, "SystemVerification", "ImagePull"}
    assert all(each.why for each in found)
    if coredns and kube_proxy and fail != TOLD:
        assert flags(found, "v1") == ()
