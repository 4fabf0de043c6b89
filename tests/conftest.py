"""Which tests may run beside each other: those that share a lab stay together, in their order; all others go where there is room."""

from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes says something of the machine, not of the code.
settings.register_profile("ours", deadline=None)
settings.load_profile("ours")

LAB = Path(__file__).parent / "lab"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of each lab a group of their own, for pytest-xdist's ``--dist loadgroup``."""
    for item in items:
        if LAB in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("cluster" if LAB / "cluster" in item.path.parents else "hosts"))
