"""The hosts that the lab tests share. A machine that cannot run them fails these tests: a skipped proof is none."""

import os
from collections.abc import Iterator
from contextlib import suppress

import pytest

from lab import kube_golden, saves
from lab.control import Lab
from lab.kubernetes import Kubernetes
from lab.mounts import mounts
from runbooks.errors import RunbookError
from tests.conftest import row
from tests.support import prometheus
from tests.support.lab import HOSTS, SITE, Traces, cluster_site, name, traces
from tests.support.operator import Operator
from tests.support.stock import HOST_DIRECTORY, fill
from tests.support.waiting import again

BUILT = "-built"
BUILDS_S = 300


@pytest.fixture(scope="session")
def brief(request: pytest.FixtureRequest) -> bool:
    """Whether a proof takes some of its steps instead of every one."""
    return bool(request.config.getoption("--brief"))


@pytest.fixture(scope="session")
def machine_before() -> Traces:
    """Return what the machine looked like before the lab."""
    return traces(name())


@pytest.fixture(scope="session")
def lab(machine_before: Traces) -> Iterator[Lab]:
    """Six hosts, booted once for the tests of a row; HA_LAB_KEEP=1 leaves them up and finds them again."""
    keep = os.environ.get("HA_LAB_KEEP") == "1"
    worker = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
    shared = Lab(f"{name()}-{worker}" if worker else name(), say=lambda text: print(text, flush=True))
    if not keep:
        shared.down()
    try:
        shared.up(SITE, HOSTS)
        yield shared
    finally:
        if not keep:
            shared.down()


@pytest.fixture(scope="package")
def operator(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Operator]:
    """An operator whose load balancers are set up, and whose other hosts are empty, but in the row that boots the cluster of the other one.

    HA_LAB_KEEP=1 finds yesterday's again.

    It has a lab of its own, which goes when the last test on hosts is done: an idle cluster takes a quarter of a core. Each of
    pytest's workers has another.

    HA_LAB_CLUSTER names a lab that is up, instead of one of the tests' own.
    """
    keep = os.environ.get("HA_LAB_KEEP") == "1"
    own = f"{name()}-{os.environ.get('PYTEST_XDIST_WORKER', 'k')}"
    lab = Lab(os.environ.get("HA_LAB_CLUSTER") or own, say=lambda text: print(text, flush=True))
    source = cluster_site(tmp_path_factory.mktemp("site"))
    if not keep:
        lab.down()
        killed = (save.name for save in saves.all_of() if save.name.startswith(f"{name()}-") and save.name.endswith(BUILT))
        forget(*(each for each in killed if each != built()))
    try:
        if booted := comes(request.session):
            lab.up_from(built())
        else:
            lab.up(source, kubernetes=Kubernetes())
        somebody = Operator(lab, tmp_path_factory.mktemp("operator"))
        if not booted:
            somebody.good("lb.setup")
        yield somebody
    finally:
        if not keep:
            lab.down()
            forget(lab.instance.name, built())  # tests/lab/lab/test_saves.py, and `cluster`


def built() -> str:
    """Return the name of the save of a cluster that was just built, for both rows of one run; "" where there are no rows, or labs stay."""
    stays = os.environ.get("HA_LAB_KEEP") == "1" or os.environ.get("HA_LAB_CLUSTER")
    run = "" if stays else os.environ.get("PYTEST_XDIST_TESTRUNUID", "")
    return f"{name()}-{run[:8]}{BUILT}" if run and kube_golden.stackable(saves.shelf().parent.resolve(), mounts()) else ""


def forget(*names: str) -> None:
    """Remove the saves that there are of these."""
    for each in {save.name for save in saves.all_of()} & set(names):
        with suppress(RunbookError):  # the other row's lab runs on it, and forgets it at its end
            saves.forget(each)


def comes(session: pytest.Session) -> bool:
    """Whether there is a save of a cluster that the other row has built, or still builds: that is waited for."""
    builds = any("lab/cluster/test_members.py" in item.nodeid for item in session.items)
    if not built() or not builds or row(os.environ["PYTEST_CURRENT_TEST"]) == "cluster":
        return False
    return again(is_there, lambda there: not there, BUILDS_S)


def is_there() -> bool:
    """Whether there is that save."""
    return built() in [save.name for save in saves.all_of()]


@pytest.fixture(scope="package")
def cluster(operator: Operator) -> Operator:
    """The operator of a cluster that is whole. The row that needs one later has booted what the other one has built."""
    if operator.lab.console("master1", ["test", "-e", "/etc/kubernetes/admin.conf"]).returncode or not is_there():
        operator.good("cluster.init", timeout_s=900)
        if built():
            with suppress(RunbookError):  # no room: the other row builds its own
                operator.lab.save(built())
    operator.verified()
    return operator


@pytest.fixture(scope="module")
def saved(cluster: Operator, tmp_path_factory: pytest.TempPathFactory) -> Operator:
    """An operator whose cluster holds the stock, and who has a directory of sets to himself: ``directory / "sets"``."""
    fill(cluster.lab)
    somebody = Operator(cluster.lab, tmp_path_factory.mktemp("saved"))
    backup = {"directory": str(somebody.directory / "sets"), "host_directory": HOST_DIRECTORY}
    somebody.edit(lambda site: site.update(backup=backup))
    return somebody


@pytest.fixture(scope="module")
def watched(cluster: Operator, tmp_path_factory: pytest.TempPathFactory) -> Operator:
    """An operator whose cluster a real Prometheus watches, on a worker; it is set up unless it runs already."""
    somebody = Operator(cluster.lab, tmp_path_factory.mktemp("watched"))
    somebody.edit(lambda site: site.update(monitoring=prometheus.section(somebody)))
    somebody.verified()
    somebody.done(*prometheus.words(somebody), timeout_s=900)
    if not prometheus.runs(somebody):
        prometheus.start(somebody)
    prometheus.green(somebody)
    return somebody
