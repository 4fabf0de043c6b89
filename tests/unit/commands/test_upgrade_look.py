"""upgrade-look.sh with a crictl and a systemctl that answer as they are told to: what ends again and again, and since when."""

from __future__ import annotations

import os
import re
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic

import pytest

from runbooks.commands import upgrade_kubeadm
from runbooks.commands.upgrade_kubeadm import Progress
from tests.support import ROOT
from tests.support.fakes import bash

pytestmark = pytest.mark.unit

TABLE = """CONTAINER           IMAGE               CREATED             STATE               NAME                      ATTEMPT             POD ID              POD
aaaa1               b4f6b0bffa351       5 seconds ago       {state}             kube-scheduler            {attempt}           {pod}               kube-scheduler-m1
aaaa0               b4f6b0bffa351       About a minute ago  Exited              kube-scheduler            1                   {pod}               kube-scheduler-m1
bbbb1               0369cf4303ffd       3 minutes ago       Running             etcd                      0                   pod-etcd            etcd-m1
cccc1               0369cf4303ffd       3 minutes ago       Exited              coredns                   9                   pod-dns             coredns-x
"""


class Machine:
    def __init__(self, top: Path) -> None:
        self.top, self.patience_s = top, 120
        for each in ("bin", "run", "manifests"):
            (top / each).mkdir()
        self.program("systemctl", "echo inactive")
        self.program("pgrep", "exit 1")
        self.scheduler()

    def program(self, name: str, text: str) -> None:
        (self.top / "bin" / name).write_text(f"#!/bin/bash\n{text}\n")
        (self.top / "bin" / name).chmod(0o755)

    def scheduler(self, state: str = "Running", attempt: int = 2, pod: str = "pod-old", up: float = 100) -> None:
        """The newest container of kube-scheduler."""
        (self.top / "table").write_text(TABLE.format(state=state, attempt=attempt, pod=pod))
        since = (datetime.now(UTC) - timedelta(seconds=up)).isoformat().replace("+00:00", "000Z")
        crictl = f"""case "$*" in
*" ps "* | "ps "*) cat {self.top}/table ;;
*inspect*) printf '{{\\n  "status": {{\\n    "startedAt": "{since}",\\n  }},\\n  "startedAt": "x"\\n}}\\n' ;;
*logs*) echo "Error: unknown flag: --nope" ;;
esac"""
        self.program("crictl", crictl)

    def here(self, text: str) -> str:
        return (
            text.replace("/run/ha-runbooks-upgrade", str(self.top / "run"))
            .replace("/etc/kubernetes/manifests", str(self.top / "manifests"))
            .replace("/var/lib/ha-runbooks/upgrade", str(self.top / "lib"))
            .replace("began > 120))", f"began > {self.patience_s}))")
        )

    def begin(self, *kubeadm: str, end_api: str = "") -> None:
        """Run the job of upgrade-kubeadm.sh, with a kubeadm that does nothing, or the command ``kubeadm``."""
        text = (ROOT / "scripts" / "host" / "upgrade-kubeadm.sh").read_text()
        job = self.here(re.search(r"^job='(.*?)'$", text, re.MULTILINE | re.DOTALL)[1])  # type: ignore[index]
        (self.top / "lib").mkdir(exist_ok=True)
        words = [str(self.top / "run"), str(self.top / "lib"), "node v1.20.3", end_api, *(kubeadm or ["true"])]
        subprocess.run(
            ["bash", "-c", f'crictl_here() {{ crictl "$@"; }}\n{job}', *words],
            check=True,
            env=os.environ | {"PATH": f"{self.top}/bin:{os.environ['PATH']}"},
        )

    def look(self, *, wait_s: int = 0) -> Progress:
        probe = upgrade_kubeadm.look(wait_s=wait_s)
        return probe.parse(bash(f"PATH={self.top}/bin:$PATH\n{self.here(probe.command.program)}"))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize(
    ("state", "attempt", "pod", "crashed"),
    [
        ("Running", 9, "pod-old", False),
        ("Exited", 7, "pod-old", False),  # as it was before kubeadm began
        ("Exited", 8, "pod-old", False),  # once more while etcd was away
        ("Exited", 9, "pod-old", True),
        ("Exited", 1, "pod-new", False),
        ("Exited", 2, "pod-new", True),
    ],
)
def test_what_had_ended_before_kubeadm_began_does_not_count(machine, state, attempt, pod, crashed):
    machine.scheduler(attempt=7)
    machine.begin()
    machine.scheduler(state, attempt, pod)
    assert machine.look().crashed == ({"kube-scheduler": "Error: unknown flag: --nope"} if crashed else {})


def test_a_container_that_waits_for_its_next_start_when_kubeadm_begins_counts_from_there(machine):
    machine.scheduler("Exited", 10)
    machine.begin()
    machine.scheduler("Exited", 11)
    assert not machine.look().crashed


def test_without_a_kubeadm_of_ours_every_end_in_the_pod_counts(machine):
    machine.scheduler("Exited", 2)
    assert set(machine.look().crashed) == {"kube-scheduler"}


def test_how_long_containers_have_been_running(machine):
    machine.scheduler(up=7)
    up = machine.look().up
    assert set(up) == {"kube-scheduler", "etcd"}
    assert 6 <= up["kube-scheduler"] <= 12
    machine.scheduler("Exited", 1)
    assert set(machine.look().up) == {"etcd"}


def test_when_the_host_and_its_kubelet_were_started(machine):
    machine.program("systemctl", 'case "$*" in *MainPID*) echo 0 ;; *) echo inactive ;; esac')
    boot = machine.look().started
    assert set(boot) == {"host"}
    child = subprocess.Popen(["sleep", "30"])
    try:
        machine.program("systemctl", f'case "$*" in *MainPID*) echo {child.pid} ;; *) echo inactive ;; esac')
        started = machine.look().started
    finally:
        child.kill()
        child.wait()
    assert 0 <= started["kubelet"] < 30
    assert boot["host"] <= started["host"]


def test_a_manifest_is_as_old_as_it_has_been_in_its_place(machine):
    """kubeadm writes all of them at its beginning and moves each into its place when its turn comes."""
    written = machine.top / "kube-scheduler.yaml"
    written.touch()
    os.utime(written, (0, 0))
    written.rename(machine.top / "manifests" / "kube-scheduler.yaml")
    found = machine.look()
    assert found.written["kube-scheduler"] < 60
    assert abs(found.clock - datetime.now(UTC).timestamp()) < 60


@pytest.mark.parametrize("ends", ["echo 0 >{run}/code", "echo '[upgrade] Done' >>{run}/log"])
def test_it_waits_until_kubeadm_says_something_or_ends(machine, ends):
    (machine.top / "run" / "log").write_text("[upgrade] Waiting\n")
    before = monotonic()
    with subprocess.Popen(["bash", "-c", f"sleep 0.5; {ends.format(run=machine.top / 'run')}"]):
        machine.look(wait_s=30)
    assert 0.4 < monotonic() - before < 30


API = "kube-apiserver.yaml"


@pytest.mark.parametrize(("listens", "stopped"), [("none", True), ("other", True), ("yes", False)])
def test_the_old_api_server_gets_ten_seconds_once_its_manifest_is_replaced_and_it_does_not_listen(machine, listens, stopped):
    manifest, done = machine.top / "manifests" / API, machine.top / "stopped"
    manifest.write_text("old")
    said = {
        "none": "",
        "other": 'LISTEN *:6443 users:(("kube-apiserver",pid=77,fd=7))',
        "yes": 'LISTEN *:6443 users:(("kube-apiserver",pid=7,fd=7))',
    }
    machine.program("ss", f"touch {machine.top}/asked; echo '{said[listens]}'")
    machine.program(
        "crictl",
        f"""case "$*" in
*"ps -q"*) printf 'new\\nold\\n' ;;
*inspect*old) printf '{{ "info": {{\\n    "pid": 7,\\n    "namespaces": [ {{ "type": "pid" }} ] }} }}\\n' ;;
stop*) echo "$*" >{done} ;;
esac""",
    )
    if not stopped:
        machine.program("sleep", "exec /bin/sleep 0.01")  # it gives up after 25 s
    swap = f"mv {manifest} {manifest}.old; /bin/sleep 0.3; [ ! -e {machine.top}/asked ] && echo new >{manifest}; /bin/sleep 1.5"
    machine.begin("bash", "-c", swap)
    assert (machine.top / "asked").exists(), "only after the manifest was replaced"
    assert (done.read_text() if done.exists() else "") == ("stop --timeout 10 old\n" if stopped else "")


def test_kubeadm_begins_when_the_api_server_that_was_ended_is_ready_again(machine):
    events = machine.top / "events"
    machine.program("crictl", f'case "$*" in *"ps -q"*) echo only ;; stop*) echo "$*" >>{events} ;; esac')
    machine.program("kubectl", f'echo "$*" >>{events}; [ "$(grep -c readyz {events})" -ge 3 ]')
    machine.begin("bash", "-c", f"echo kubeadm >>{events}", end_api="https://10.0.0.1:6443")
    asked = "--kubeconfig=/etc/kubernetes/admin.conf --server=https://10.0.0.1:6443 get --raw /readyz"
    assert events.read_text().splitlines() == ["stop --timeout 10 only", asked, asked, asked, "kubeadm"]


@pytest.mark.parametrize("replaced", [True, False])
def test_the_unit_lasts_until_the_old_api_server_has_ended_and_no_longer_than_kubeadm_without_a_new_one(machine, replaced):
    events, manifest = machine.top / "events", machine.top / "manifests" / "kube-apiserver.yaml"
    manifest.write_text("old\n")
    machine.program("ss", "true")  # it does not listen any more
    stop = f'stop*) sleep 1; echo "$*" >>{events} ;;'
    machine.program("crictl", f"""case "$*" in *"ps -q"*) echo old ;; inspect*) echo '"pid": 4711,' ;; {stop} esac""")
    machine.begin("bash", "-c", f"echo new >{manifest}.new; mv {manifest}.new {manifest}" if replaced else "true")
    assert (events.read_text() if events.exists() else "") == ("stop --timeout 10 old\n" if replaced else "")


def test_kubeadm_is_not_started_beside_an_api_server_that_does_not_come_back(machine):
    machine.patience_s = 0
    machine.program("crictl", 'case "$*" in *"ps -q"*) echo only ;; esac')
    machine.program("kubectl", "exit 1")
    started = machine.top / "started"
    for before in ("", "apply v1.20.3"):  # what an earlier run had begun stays begun; this one has changed nothing
        (machine.top / "lib").mkdir(exist_ok=True)
        (machine.top / "lib" / "attempt").write_text("node v1.20.3\n")
        if before:
            (machine.top / "run" / "attempt").write_text(f"{before}\n")
        machine.begin("touch", str(started), end_api="https://10.0.0.1:6443")
        assert not started.exists()
        found = machine.look()
        assert (found.code, found.attempt) == (70, before)
        assert "not ready again" in found.word


def test_kubeadm_does_not_wait_for_an_api_server_that_did_not_run(machine):
    machine.program("crictl", "true")
    machine.program("kubectl", "exit 1")
    started = machine.top / "started"
    machine.begin("touch", str(started), end_api="https://10.0.0.1:6443")
    assert started.exists()
