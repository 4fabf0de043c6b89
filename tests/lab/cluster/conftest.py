"""A real cluster for the tests of this directory: two load balancers, three control plane hosts, one worker.

It has a lab of its own, which goes when the last of these tests is done: an idle cluster takes a quarter of a core.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import yaml

from lab.control import Lab
from lab.kubernetes import Kubernetes
from tests.lab.conftest import SITE, name
from tests.lab.runner import Operator

HOSTS = ("lb1", "lb2", "master1", "master2", "master3", "worker1")


@pytest.fixture(scope="package")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """An operator whose load balancers are set up, and whose other hosts are empty. HA_LAB_KEEP=1 finds yesterday's again."""
    keep = os.environ.get("HA_LAB_KEEP") == "1"
    lab = Lab(f"{name()}-k", say=lambda text: print(text, flush=True))
    source = tmp_path_factory.mktemp("site") / "hosts.yaml"
    site = yaml.safe_load(SITE.read_text())
    site["hosts"] = [host for host in site["hosts"] if host["name"] in HOSTS]
    source.write_text(yaml.safe_dump(site, sort_keys=False))
    if not keep:
        lab.down()
    try:
        lab.up(source, kubernetes=Kubernetes())
        somebody = Operator(lab, tmp_path_factory.mktemp("operator"))
        somebody.good("lb.setup")
        yield somebody
    finally:
        if not keep:
            lab.down()


@pytest.fixture(scope="package")
def cluster(operator: Operator) -> Operator:
    """The operator of a cluster that is whole."""
    operator.good("cluster.init", timeout_s=900)
    return operator
