"""A whole cluster is kept while somebody writes, and booted again: same certificates, same objects, nothing acknowledged lost.

The tests depend on one another, in the order of this file.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime

import pytest
import yaml

from lab import cgroups, kube_golden, saves
from lab.mounts import mounts
from lab.saves import Save
from tests.support.operator import Operator, sh

pytestmark = pytest.mark.lab

KUBECTL = "kubectl --kubeconfig=/etc/kubernetes/admin.conf"
WRITES = f"""
number=0
rm -f /root/enough
while ! [ -e /root/enough ]; do
    number=$((number + 1))
    {KUBECTL} create configmap "ack-$number" --from-literal="number=$number" >/dev/null && echo "ack-$number $(date +%s.%N)"
done
"""


def fingerprints(operator: Operator) -> str:
    return sh(
        operator, "master1", "sha256sum /etc/kubernetes/pki/*.crt /etc/kubernetes/pki/etcd/*.crt /etc/kubernetes/admin.conf"
    )


def own(operator: Operator) -> str:
    return operator.lab.instance.name


def standing_still(operator: Operator) -> list[str]:
    return [each.file.parent.name for each in cgroups.freezers(cgroups.find(operator.lab.instance.namespace)) if each.frozen()]


@pytest.fixture(scope="module")
def whole(cluster: Operator) -> Operator:
    """The operator of a cluster that is well. Where the cache is on no disk for saves, the refusal is all that can be proved."""
    cluster.environ["RUNBOOKS_LAB"] = own(cluster)
    cluster.verified()
    if not kube_golden.stackable(saves.shelf().parent.resolve(), mounts()):
        done = cluster.inv("lab.save", own(cluster))
        assert (done.returncode, "is on no disk that an overlay can be on" in done.stderr) == (3, True), done.stderr
        pytest.skip(f"lab.save is refused here, with its reason: {done.stderr}")
    return cluster


@pytest.fixture(scope="module")
def kept(whole: Operator) -> tuple[Save, list[tuple[str, float]], str]:
    """The save, what was acknowledged and when, and the certificates' digests."""
    leader = whole.lab.leader("master1")
    prefix = ["nsenter", f"--target={leader}", "--mount", "--uts", "--ipc", "--net", "--pid", "--"]
    with subprocess.Popen([*prefix, "bash", "-c", WRITES], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout
        said = [writer.stdout.readline() for _ in range(5)]
        text = whole.good("lab.save", own(whole))
        time.sleep(2)
        sh(whole, "master1", "touch /root/enough")  # killing nsenter would leave the shell behind it alive
        said += writer.stdout.readlines()
    assert "6 hosts" in text
    acks = [(name, float(at)) for name, at in (line.split() for line in said if line.endswith("\n"))]
    return saves.one(own(whole)), acks, fingerprints(whole)


def begun(words: list[str], operator: Operator, when: str) -> Iterator[subprocess.Popen[str]]:
    """Start a command and yield it at the moment at which a path matches ``when``."""
    directory = saves.shelf() if when.startswith(".new") else operator.lab.instance.state
    with subprocess.Popen(
        [sys.executable, "-m", "invoke", *words], cwd=operator.checkout, env=operator.env(), text=True
    ) as process:
        while not list(directory.glob(when)):
            assert process.poll() is None, "it ended before"
            time.sleep(0.002)
        yield process


def test_killed_while_the_hosts_stand_still_they_go_on_and_nothing_is_kept(whole: Operator) -> None:
    for process in begun(["lab.save", own(whole)], whole, ".new-*/hosts/*"):
        process.kill()
    deadline = time.monotonic() + 120
    while standing_still(whole) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert standing_still(whole) == []
    assert own(whole) not in [save.name for save in saves.all_of()]
    whole.verified()


def test_a_cluster_is_kept_while_somebody_writes_and_goes_on(
    whole: Operator, kept: tuple[Save, list[tuple[str, float]], str]
) -> None:
    save, acks, _ = kept
    assert (save.site, len(save.hosts), save.cluster) == ("ha-cluster", 6, "1.20.2")
    assert acks[-1][1] > datetime.fromisoformat(save.made).timestamp() + 1, "it went on"
    assert list(saves.shelf().glob(".new-*")) == []
    assert saves.shelf().stat().st_mode & 0o77 == 0
    assert own(whole) in whole.good("lab.saved")
    whole.verified()


def test_a_site_of_other_hosts_is_refused(whole: Operator, kept: object, tmp_path: object) -> None:
    source = whole.directory / "other.yaml"
    content = yaml.safe_load(whole.site.read_text())
    content["endpoint"]["vip"] = "10.1.1.99"
    source.write_text(yaml.safe_dump(content))
    whole.environ["RUNBOOKS_LAB"] = f"{own(whole)}-b"
    done = whole.inv("lab.up", "--from", own(whole), "--site", str(source))
    whole.environ["RUNBOOKS_LAB"] = own(whole)
    assert (done.returncode, "other values of endpoint than" in done.stderr) == (3, True), done.stderr


def test_it_boots_again_also_after_being_killed_and_is_the_same_cluster(
    whole: Operator, kept: tuple[Save, list[tuple[str, float]], str]
) -> None:
    save, acks, certificates = kept
    site = ["--site", str(whole.site)]
    refused = whole.inv("lab.up", "--from", save.name, *site)
    assert (refused.returncode, "is there already" in refused.stderr) == (3, True), refused.stderr
    whole.lab.down()
    for process in begun(["lab.up", "--from", save.name, *site], whole, "disks/master2/made.json"):
        process.kill()
    whole.good("lab.up", "--from", save.name, *site)
    assert whole.lab.instance.state.stat().st_mode & 0o77 == 0
    whole.verified()
    assert fingerprints(whole) == certificates
    there = sh(whole, "master1", f"{KUBECTL} get configmaps -o name").replace("configmap/", "").split()
    before = [name for name, at in acks if at <= datetime.fromisoformat(save.made).timestamp()]
    assert len(before) >= 3
    assert [name for name in before if name not in there] == []
    sh(whole, "master1", f"{KUBECTL} get configmaps -o name | grep /ack- | xargs {KUBECTL} delete")
    whole.idle("cluster.init")


def test_one_that_is_in_use_is_not_forgotten(whole: Operator, kept: object) -> None:
    done = whole.inv("lab.forget", own(whole))
    assert (done.returncode, f"the lab {own(whole)} runs on the save" in done.stderr) == (3, True), done.stderr
    done = whole.inv("lab.save", own(whole))
    assert (done.returncode, f"the lab {own(whole)} runs on the save" in done.stderr) == (3, True), done.stderr
