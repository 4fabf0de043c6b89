"""A host on which kubeadm is at work is not reset."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from runbooks.cluster.remove import refuse_members
from runbooks.errors import PrecheckError
from tests.support.facts import EMPTY_NODE, worker
from tests.support.fakes import site

pytestmark = pytest.mark.unit


def run_with(**state: Any) -> Any:
    said = replace(EMPTY_NODE, **state)
    return SimpleNamespace(site=site(), read_each=lambda probes, **more: dict.fromkeys(probes, said), look_anew=lambda: None)


def test_a_host_on_which_kubeadm_runs_is_not_reset() -> None:
    with pytest.raises(PrecheckError, match="kubeadm join is running on worker1") as error:
        refuse_members(run_with(attempt="join", running=True), [worker(1)])
    assert "if it hangs: on worker1: systemctl stop ha-runbooks-kubeadm;" in error.value.hint
    assert error.value.hint.endswith("inv cluster.reset --host worker1")
    with pytest.raises(PrecheckError, match=r"^kubeadm is running on worker1"):  # done, and its unit is just ending
        refuse_members(run_with(attempt="", running=True), [worker(1)])


def test_one_where_it_was_left_unfinished_is() -> None:
    refuse_members(run_with(attempt="join"), [worker(1)])
