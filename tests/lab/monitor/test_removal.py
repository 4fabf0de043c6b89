"""Monitoring is taken away again, from hosts and cluster."""

from __future__ import annotations

import pytest

from runbooks.commands import monitor
from tests.support import prometheus
from tests.support.lab import HOSTS
from tests.support.operator import Operator, sh

pytestmark = pytest.mark.lab


def test_it_is_taken_away_again(watched: Operator) -> None:
    sh(watched, prometheus.WATCHER, "systemctl stop prometheus prometheus-alertmanager")
    watched.done("monitor.remove", timeout_s=300)
    paths = " ".join(monitor.all_files("/var/lib/prometheus/node-exporter"))
    for host in HOSTS:
        assert sh(watched, host, f"ls -d {paths} 2>/dev/null; true") == ""
    units = "systemctl list-units --all --plain --no-legend 'ha-runbooks-metrics*' 'ha-runbooks-certs*'"
    assert sh(watched, "master1", units) == ""
    watched.idle("monitor.remove")
    watched.verified()
    # For the last test of the row: what a reset takes away.
    watched.done(*prometheus.words(watched), timeout_s=900)
