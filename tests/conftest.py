"""Which tests may run beside each other: those that share a lab stay together, in their order; all others go where there is room.

There are two long rows of about the same length: a cluster, how it is built, changed, lost and recovered; and the lab itself with the
load balancers, followed by what only needs a cluster that is well, on another one. So two clusters are never built at the same time.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from xdist.scheduler import LoadScopeScheduling

# How long an example takes says something of the machine, not of the code.
settings.register_profile("ours", deadline=None)
settings.load_profile("ours")

OTHER_CLUSTER = tuple(f"tests/lab/cluster/test_{what}" for what in ("etcd", "recover_doctor", "recover_whole", "save_", "verify"))


def row(nodeid: str) -> str:
    """Return the row that a test belongs to, "" when it is in none.

    >>> row("tests/lab/cluster/test_build.py::test_it"), row("tests/lab/lb/test_setup.py::test_it"), row("tests/unit/test_x.py::test_it")
    ('cluster', 'lab', '')
    """
    if not nodeid.startswith("tests/lab/"):
        return ""
    return "cluster" if nodeid.startswith("tests/lab/cluster/") and not nodeid.startswith(OTHER_CLUSTER) else "lab"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what needs the other cluster behind everything else."""
    items.sort(key=lambda item: item.nodeid.startswith(OTHER_CLUSTER))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: Any, log: Any) -> LoadScopeScheduling:
    """Keep each row on one worker."""
    from xdist.scheduler import LoadScopeScheduling  # noqa: PLC0415 - only where tests run in parallel

    class Rows(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return row(nodeid) or nodeid.partition("::")[0]

    return Rows(config, log)


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
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
