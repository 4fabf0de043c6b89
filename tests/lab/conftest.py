"""The hosts that the lab tests share. A machine that cannot run them fails these tests: a skipped proof is none."""

import os
from collections.abc import Iterator

import pytest

from lab.control import Lab
from tests.support.lab import HOSTS, SITE, Traces, name, traces


@pytest.fixture(scope="session")
def machine_before() -> Traces:
    """Return what the machine looked like before the lab."""
    return traces(name())


@pytest.fixture(scope="session")
def lab(machine_before: Traces) -> Iterator[Lab]:
    """Six hosts, booted once for the whole run; HA_LAB_KEEP=1 leaves them up and finds them again."""
    keep = os.environ.get("HA_LAB_KEEP") == "1"
    shared = Lab(name(), say=lambda text: print(text, flush=True))
    if not keep:
        shared.down()
    try:
        shared.up(SITE, HOSTS)
        yield shared
    finally:
        if not keep:
            shared.down()
