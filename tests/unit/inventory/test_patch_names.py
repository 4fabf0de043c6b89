"""Names of patches: what kubeadm takes, and nothing that it would ignore."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.inventory.patch_names import TARGETS, TYPES, PatchName, parse

pytestmark = pytest.mark.unit
# As kubeadm 1.36 splits a name (cmd/kubeadm/app/util/patches): target, suffix, type.
KUBEADM = re.compile(rf"({'|'.join(TARGETS)})([^.+\n]*)?(\+)?({'|'.join(TYPES)})?")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("apiserver.yaml", "no target that kubeadm patches: etcd, kube-apiserver"),
        ("kube-proxy0.yaml", "no target"),
        ("etcd.yml", "only .yaml and .json"),
        ("etcd", "only .yaml and .json"),
        ("etcd+merge", "only .yaml and .json"),
        ("kube-scheduler+foo.yaml", "+foo is no type of patch"),
        ("kube-scheduler+.yaml", "+ is no type of patch"),
        ("kube-scheduler+merge1.yaml", "+merge1 is no type"),
        ("kube-scheduler.a.yaml", "letters of your own"),
        ("kube-scheduler a.yaml", "letters of your own"),
    ],
)
def test_a_name_that_kubeadm_does_not_take(name: str, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        parse(name)


@given(st.sampled_from(sorted(TARGETS)), st.from_regex(r"[A-Za-z0-9_-]{0,8}", fullmatch=True), st.sampled_from(["", *TYPES]))
def test_every_name_that_is_taken_means_the_same_to_kubeadm(target: str, suffix: str, kind: str) -> None:
    file = f"{target}{suffix}{'+' if kind else ''}{kind}.yaml"
    assert parse(file) == PatchName(target, suffix, kind or "strategic", "yaml")
    theirs = KUBEADM.match(file)
    assert theirs
    assert (theirs[1], theirs[2], theirs[4] or "") == (target, suffix, kind)


@given(st.text())
def test_whatever_the_name_there_is_an_answer_or_a_reason(name: str) -> None:
    try:
        found = parse(name)
    except ValueError:
        return
    assert KUBEADM.match(name)
    assert name.startswith(found.target)
