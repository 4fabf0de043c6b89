"""kubeadm's flags for etcd, and etcd's knowledge of them, by version."""

from __future__ import annotations

import pytest

from runbooks.rules.etcd_flags import KNOWN, NEW, OLD, cannot_run, unknown, written

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("kubeadm", "etcd", "flags", "lacking"),
    [
        ((1, 20), (3, 4), (), ()),
        ((1, 20), (3, 5), (), ()),
        ((1, 31), (3, 5), OLD, ()),
        ((1, 31), (3, 6), OLD, ()),  # deprecated, but known
        ((1, 33), (3, 7), OLD, OLD),
        ((1, 34), (3, 5), OLD, ()),
        ((1, 34), (3, 6), NEW, ()),
        ((1, 35), (3, 5), OLD, ()),
        ((1, 35), (3, 6), NEW, ()),
        ((1, 35), (3, 7), NEW, ()),
        ((1, 36), (3, 4), NEW, NEW),
        ((1, 36), (3, 5), NEW, NEW),
        ((1, 36), (3, 6), NEW, ()),
        ((1, 37), (3, 7), NEW, ()),
    ],
)
def test_the_flags_of_each_pair(kubeadm, etcd, flags, lacking):
    assert written(kubeadm, etcd) == flags
    assert cannot_run(kubeadm, etcd) == lacking


def test_a_flag_that_no_version_changes_is_known():
    assert unknown(["data-dir", "listen-client-urls"], (3, 4)) == ()
    assert set(KNOWN) == {*OLD, *NEW}
