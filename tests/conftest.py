"""Which tests may run beside each other, and in which order: said here and nowhere else.

Tests on hosts run in three rows. Two take about as long as each other: one builds a cluster, changes, loses and recovers it; the other
has the lab itself until that cluster is built, then everything that only needs one that is well. So two clusters are never built at
the same time. The third, which is shorter, has what only needs the load balancers. All other tests go beside them, on a worker that
leaves the rows the processors.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from xdist.scheduler import LoadScopeScheduling

# How long an example takes says something of the machine, not of the code.
settings.register_profile("ours", deadline=None)
settings.load_profile("ours")

LAB: Final = "tests/lab/"
ROWS: Final = {
    "cluster": (
        "cluster/test_build.py",
        "cluster/test_members.py",
        "recover/test_certs.py",
        "recover/test_member.py",
        "recover/test_quorum.py",
        # From here on, on a cluster that is well.
        "monitor/test_monitor.py",
        "drill/test_drill.py",
        "day2/test_reboot.py",
        "day2/test_reconfigure.py",
        "day2/test_runtime.py",
        "monitor/test_removal.py",
        "lab/test_saves.py",
        "cluster/test_reset.py",
        "foreign/test_document.py",
        "foreign/test_guide.py",
    ),
    "lab": (
        "engine/test_engine.py",
        "engine/test_logins.py",
        "engine/test_gateways.py",
        "lab/test_lab.py",
        "lab/test_kubernetes.py",
        "cluster/test_preflight.py",
        # From here on, on a cluster that is well.
        "etcd/test_etcd.py",
        "cluster/test_verify.py",
        "doctor/test_doctor.py",
        "recover/test_whole.py",
        "backup/test_verify.py",
        "backup/test_run.py",
        "backup/test_schedule.py",
        "backup/test_offsite.py",
        "site/test_adopt.py",
        "rehearse/test_rehearse.py",
        "cluster/test_upgrade.py",
        "upgrade/test_containerd.py",
        "upgrade/test_plan.py",
        "upgrade/test_rollback.py",
        "upgrade/test_run.py",
    ),
    "lb": (
        "lb/test_setup.py",
        "lb/test_maintenance.py",
        "lb/test_vips.py",
        "lb/test_takeover.py",
        "lb/test_baseline.py",
        "lb/test_taken.py",
        "lb/test_dnf.py",
        "lb/test_firewall.py",
        "upgrade/test_lb.py",
        "recover/test_vip.py",
    ),
}
ROW_WORKERS: Final = ("gw0", "gw1", "gw2")
ORDER: Final = {f"{LAB}{file}": (row, place) for row, files in ROWS.items() for place, file in enumerate(files)}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option of the usual run of scripts/test."""
    words = "leave out the tests that are marked long, and kill a command after some of its steps instead of after every one"
    parser.addoption("--brief", action="store_true", help=words)


def pytest_configure(config: pytest.Config) -> None:
    """Let the commands that the tests start find their modules compiled, outside the checkout: there are well over a thousand of them."""
    if getattr(config, "workerinput", {}).get("workerid", ROW_WORKERS[0]) not in ROW_WORKERS:
        os.nice(5)  # the rows take the longest: what goes on beside them gets what they leave
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ.setdefault("PYTHONPYCACHEPREFIX", str(Path.home() / ".cache/ha-runbooks/compiled"))


def row(nodeid: str) -> str:
    """Return the row of a test on hosts, "" for any other test. Raises UsageError when its file is in no row.

    >>> row("tests/lab/cluster/test_build.py::test_it"), row("tests/lab/lb/test_setup.py::test_it"), row("tests/unit/test_x.py::test_it")
    ('cluster', 'lab', '')
    """
    path = nodeid.partition("::")[0]
    if not path.startswith(LAB):
        return ""
    if path not in ORDER:
        raise pytest.UsageError(f"{path} is in no row: add it to ROWS in {Path(__file__).name}")
    return ORDER[path][0]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the tests on hosts first, each row in its order; --brief leaves the long ones out."""
    if config.getoption("--brief"):
        long = [item for item in items if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]
    items.sort(key=lambda item: ORDER[item.nodeid.partition("::")[0]] if row(item.nodeid) else ("z", 0))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: Any, log: Any) -> LoadScopeScheduling:
    """Keep each row on one worker of ROW_WORKERS. Any other worker begins with what is in no row."""
    from xdist.scheduler import LoadScopeScheduling  # noqa: PLC0415 - only where tests run in parallel

    class Rows(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return row(nodeid) or nodeid.partition("::")[0]

        def _assign_work_unit(self, node: Any) -> None:
            others = (scope for scope in self.workqueue if scope not in ROWS)
            if node.gateway.id not in ROW_WORKERS and (scope := next(others, "")):
                self.workqueue.move_to_end(scope, last=False)
            super()._assign_work_unit(node)

    return Rows(config, log)


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say how long each row took, and all other tests together: seconds of their tests, with what is set up and taken down."""
    seconds = Counter[str]()
    for report in (
        each for reports in terminalreporter.stats.values() for each in reports if isinstance(each, pytest.TestReport)
    ):
        seconds[row(report.nodeid)] += report.duration
    if not seconds.keys() - {""}:
        return
    terminalreporter.section("rows")
    for name in sorted(seconds, reverse=True):
        terminalreporter.line(f"{seconds[name]:8.1f} s  {name or 'all other tests'}")
    if config.getoption("--brief"):
        terminalreporter.line("the tests that are marked long were left out: scripts/test --long")
