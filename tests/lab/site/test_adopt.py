"""A cluster whose hosts.yaml is lost is found again from one address, and every command goes on with the file that was written."""

from __future__ import annotations

from pathlib import Path

import pytest

from runbooks.inventory.load import load_site
from runbooks.inventory.model import Site
from runbooks.site.adopt.rules.changes import leaves
from tests.support.operator import REFUSES, Operator

pytestmark = pytest.mark.lab

MASTER, WORKER = "10.1.1.102", "10.1.1.201"
# What no host knows: where backups go, how patient ssh is. The lab's own manifest and the kubelet's interval are in force, and no difference.
CHOSEN = ("backup", "example", "ssh", "kubernetes.cni", "kubernetes.kubelet", "kubernetes.kube_proxy", "networks.storage")
CHANGED = "find /etc /usr /opt /root /home /srv -xdev -newer /run/before-adopt -type f ! -path '/etc/cni/*'"


@pytest.fixture(scope="module")
def finder(cluster: Operator, tmp_path_factory: pytest.TempPathFactory) -> Operator:
    """Somebody without a hosts.yaml. The lab's own file says only which lab it is, and its login."""
    cluster.verified()
    return Operator(cluster.lab, tmp_path_factory.mktemp("finder"))


@pytest.fixture(scope="module")
def found(finder: Operator) -> Path:
    """The file that `site.adopt` writes."""
    for host in ("lb1", "master1", "master2", "worker1"):
        finder.lab.console(host, ["touch", "/run/before-adopt"], check=True)
    path = finder.directory / "mine" / "hosts.yaml"
    path.parent.mkdir()
    said = finder.good("site.adopt", "--host", MASTER, "--output", str(path), "--yes")
    assert "lb1 10.1.1.11, lb2 10.1.1.12" in said
    assert "inv doctor says" in said
    return path


def values(site: Site) -> dict[str, str]:
    """Return the values of a site that its hosts decide, and the labels of each node, whether they are said of it or of its role."""
    labels = {host.name: str(site.of_node(host).labels) for host in site.nodes}
    return {key: each for key, each in leaves(site) if not key.startswith(CHOSEN) and ".labels." not in key} | labels


def test_what_is_not_a_control_plane_host_is_refused_by_what_it_is(finder, tmp_path):
    path = tmp_path / "hosts.yaml"
    done = finder.inv("site.adopt", "--host", WORKER, "--output", str(path), "--yes")
    assert done.returncode == REFUSES
    assert f"({WORKER}) is a node, and no control plane host: its API server is https://k8s-api.company.local:6443" in done.stderr
    assert not path.exists()


def test_host_keys_are_recorded_only_when_somebody_agrees(finder, tmp_path):
    done = finder.inv("site.adopt", "--host", MASTER, "--output", str(tmp_path / "hosts.yaml"))
    assert (done.returncode, "1 host key not recorded" in done.stderr) == (REFUSES, True)
    assert list(tmp_path.iterdir()) == []


def test_the_file_says_what_the_lost_one_said(finder, found):
    lost, again = load_site(finder.site).site, load_site(found).site
    assert (again.name, again.lab) == (lost.name, lost.lab)
    assert values(again) == values(lost)


def test_nothing_was_changed_on_the_hosts(finder, found):
    for host in ("lb1", "master1", "master2", "worker1"):
        assert finder.lab.console(host, ["bash", "-c", CHANGED], check=True).stdout == "", host


def test_the_commands_go_on_with_it(finder, found):
    owner = Operator(finder.lab, finder.directory, environ={"RUNBOOKS_SITE": str(found)})
    assert "is in order" in owner.good("site.check")
    assert "no difference" in owner.well("cluster.diff")


def test_it_is_found_by_an_administrators_kubeconfig_too_and_nothing_is_written_again(finder, found, tmp_path):
    owner = Operator(finder.lab, finder.directory, environ={"RUNBOOKS_SITE": str(found)})
    path, name = tmp_path / "admin.conf", "k8s-api.company.local"
    owner.good("cluster.kubeconfig", "--to", str(path))
    before = found.read_text()
    unknown = owner.inv("site.adopt", "--kubeconfig", str(path))
    assert (unknown.returncode, f"knows no address of {name}" in unknown.stderr) == (2, True)
    path.write_text(path.read_text().replace(name, "10.1.1.100"))
    assert "says what was found; nothing was written" in owner.good("site.adopt", "--kubeconfig", str(path))
    assert found.read_text() == before


def test_a_file_that_says_something_else_is_not_written_over(finder, found, tmp_path):
    other = tmp_path / "hosts.yaml"
    other.write_text(found.read_text().replace("priority: 253", "priority: 100"))
    (tmp_path / "known_hosts").write_bytes((found.parent / "known_hosts").read_bytes())
    before = other.read_text()
    done = finder.inv("site.adopt", "--host", MASTER, "--output", str(other))
    assert (done.returncode, other.read_text()) == (1, before)
    assert [line.split() for line in done.stdout.splitlines() if line.startswith("hosts[")] == [
        ["hosts[lb2].priority", "100", "253"]
    ]
