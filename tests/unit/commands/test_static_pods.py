"""static-pods.sh with a container runtime and a kubelet of its own: what it stops and starts, in which order."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from runbooks.commands import static_pods
from tests.support.fakes import bash

pytestmark = pytest.mark.unit

# Containers and pod sandboxes that run are files in $STATE, by the name of the static pod.
CRICTL = r"""#!/bin/bash
[ "$1" != -r ] || shift 2
name=$(grep -oE '(container.name|component)=[a-z-]+' <<<"$*" | head -n 1)
case $1 in
ps | pods) [ ! -e "$STATE/${name#*=}" ] || echo "${name#*=}" ;;
stop | stopp) echo "$*" >>"$STATE.calls"; [ "$1" = stop ] || rm -f "$STATE/${!#}" ;;
esac
"""
# A kubelet: it starts what has a manifest.
SYSTEMCTL = r"""#!/bin/bash
[ "$1" != restart ] || echo "$*" >>"$STATE.calls"
[ "$1" != restart ] || for path in "$MANIFESTS"/*.yaml; do name=${path##*/}; touch "$STATE/${name%.yaml}"; done
"""


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """Return how to run a command on a host where ``running`` run and ``parked`` are parked: the calls that it made."""
    state, programs, kubernetes = tmp_path / "state", tmp_path / "bin", tmp_path / "kubernetes"
    for directory in (state, programs, kubernetes / "manifests", kubernetes / "ha-runbooks-parked"):
        directory.mkdir(parents=True)
    for name, text in (("crictl", CRICTL), ("systemctl", SYSTEMCTL)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setenv("STATE", str(state))
    monkeypatch.setenv("MANIFESTS", str(kubernetes / "manifests"))

    def made(command, running=(), parked=()) -> list[str]:
        for name in running:
            (state / name).touch()
            (kubernetes / "manifests" / f"{name}.yaml").touch()
        for name in parked:
            (kubernetes / "ha-runbooks-parked" / f"{name}.yaml").touch()
        answer = bash(command.program.replace("/etc/kubernetes", str(kubernetes)))
        assert answer.exited == 0, answer.stderr
        assert (state / "kube-apiserver").exists()
        return Path(f"{state}.calls").read_text().splitlines()

    return made


def test_an_api_server_without_etcd_is_stopped_before_the_kubelet_starts(calls):
    """A kubelet of 1.36.3 waited a minute for it before it started etcd, and each attempt restarted the kubelet (rehearsed)."""
    assert calls(static_pods.unpark(["etcd"]), running=["kube-apiserver"], parked=["etcd"]) == [
        "stop --timeout 1 kube-apiserver",
        "stopp kube-apiserver",
        "restart kubelet",
    ]


def test_an_api_server_that_has_its_etcd_goes_on(calls):
    assert calls(static_pods.unpark(["etcd"]), running=["kube-apiserver", "etcd"]) == ["restart kubelet"]


def test_other_pods_are_no_reason(calls):
    assert calls(static_pods.unpark(["kube-scheduler"]), running=["kube-apiserver"], parked=["kube-scheduler"]) == [
        "restart kubelet"
    ]


# Its kubelet ends etcd at once when that has no manifest any more, and any other pod when it was looked at three times.
ENDS = """[ -e "$MANIFESTS/etcd.yaml" ] || rm -f "$STATE/etcd"
echo >>"$STATE.looks"; (($(wc -l <"$STATE.looks") < {looks})) || rm -f "$STATE"/*
"""


@pytest.mark.parametrize(
    ("pods", "looks", "stopped"),
    [
        (["etcd", "kube-apiserver"], 10_000, ["stop --timeout 1 kube-apiserver", "stopp kube-apiserver"]),
        (["kube-apiserver"], 3, []),
    ],
    ids=["its etcd goes too", "etcd stays"],
)
def test_an_api_server_whose_etcd_has_gone_is_not_waited_for(calls, tmp_path, pods, looks, stopped):
    crictl, state = tmp_path / "bin" / "crictl", tmp_path / "state"
    crictl.write_text(CRICTL.replace("case $1", f"{ENDS.format(looks=looks)}case $1", 1))
    for name in ("etcd", "kube-apiserver"):
        (state / name).touch()
        (tmp_path / "kubernetes" / "manifests" / f"{name}.yaml").touch()
    done = bash(static_pods.park(pods).program.replace("/etc/kubernetes", str(tmp_path / "kubernetes")))
    assert done.exited == 0, done.stderr
    calls_made = Path(f"{state}.calls")
    assert (calls_made.read_text().splitlines() if calls_made.exists() else []) == stopped
    assert not (state / "kube-apiserver").exists()


def test_a_runtime_that_does_not_answer_is_not_taken_for_a_pod_that_has_gone(calls, tmp_path):
    """Its data may be moved away once it has gone. Without crictl, the process is what can be seen."""
    (tmp_path / "bin" / "crictl").write_text("#!/bin/bash\nexit 1\n")
    name = "pod-of-the-test"
    shutil.copy("/bin/sleep", tmp_path / name)
    command = static_pods.park([name], patience_s=1)
    program = command.program.replace("/etc/kubernetes", str(tmp_path / "kubernetes"))
    with subprocess.Popen([tmp_path / name, "60"]) as process:
        stuck = bash(program)
        hung = bash(program.replace("grace=10", "grace=0").replace("PATIENCE=1", "PATIENCE=60"))
        process.kill()
    assert (stuck.exited, stuck.stderr) == (75, f"{name} still runs\n")
    assert (hung.exited, hung.stderr) == (
        75,
        f"crictl gets no answer, and a process {name} runs here: systemctl restart containerd\n",
    )
    assert bash(program).exited == 0


HICCUP = """#!/bin/bash
[ -e {t}/first ] || touch {t}/first
(($(date +%s) - $(stat -c %Y {t}/first) >= {silent})) || exit 1
case $1 in
ps | pods) [ -e {t}/stopped ] || echo id ;;
stop) echo "$*" >>{t}/stops; touch {t}/stopped ;;
esac
"""


@pytest.mark.parametrize(
    ("kubelet", "silent"), [("off", 0), ("off", 2), ("on", 0)], ids=["no kubelet", "hiccup", "kubelet hangs"]
)
def test_what_nobody_stops_is_stopped(calls, tmp_path, kubelet, silent):
    """At once when no kubelet runs that would; else after a while. Also when the runtime did not answer at first."""
    (tmp_path / "bin" / "crictl").write_text(HICCUP.format(t=tmp_path, silent=silent))
    (tmp_path / "bin" / "systemctl").write_text(f"#!/bin/bash\n[[ $* != *is-active* || {kubelet} = on ]]\n")
    name = "pod-of-the-test"
    shutil.copy("/bin/sleep", tmp_path / name)
    program = static_pods.park([name], patience_s=20).program.replace("/etc/kubernetes", str(tmp_path / "kubernetes"))
    grace = 2 if kubelet == "on" else 60
    with subprocess.Popen([tmp_path / name, "60"]) as process:
        done = bash(program.replace("grace=10", f"grace={grace}"))
        process.kill()
    assert (done.exited, done.stderr) == (0, "")
    assert (tmp_path / "stops").read_text().splitlines() == [f"stop --timeout {grace} id"]


def test_the_second_pod_is_looked_at_however_late_the_first_one_comes(calls, tmp_path):
    (tmp_path / "bin" / "crictl").write_text("#!/bin/bash\ncase $* in *name=first*) sleep 2.2 ;; esac\necho id\n")
    for name in ("first", "second"):
        (tmp_path / "kubernetes" / "ha-runbooks-parked" / f"{name}.yaml").touch()
    program = static_pods.unpark(["first", "second"], patience_s=1).program
    done = bash(program.replace("/etc/kubernetes", str(tmp_path / "kubernetes")))
    assert (done.exited, done.stderr) == (0, "")


def test_a_process_that_cannot_be_listed_does_not_count_as_started(calls, tmp_path):
    """It may be somebody else's process of the same name."""
    name = "pod-of-the-test"
    shutil.copy("/bin/sleep", tmp_path / name)
    (tmp_path / "kubernetes" / "ha-runbooks-parked" / f"{name}.yaml").touch()
    (tmp_path / "bin" / "crictl").write_text("#!/bin/bash\nexit 1\n")
    with subprocess.Popen([tmp_path / name, "60"]) as process:
        done = bash(static_pods.unpark([name], patience_s=1).program.replace("/etc/kubernetes", str(tmp_path / "kubernetes")))
        process.kill()
    assert (done.exited, done.stderr) == (75, f"the kubelet does not start {name}\n")


def test_the_patience_is_longer_than_a_kubelet_may_wait():
    """Its kubeconfig may lead to the VIP, and there to an API server without etcd: it asks before volumes are looked at, and again
    before they are mounted."""
    assert static_pods.PATIENCE_S > 2 * 60
