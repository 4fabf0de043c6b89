"""Registries, logins, runtimes, parts of containerd's configuration and the proxy reach the nodes of a real cluster, and what is wrong goes back.

The tests depend on one another, in the order of this file. The registries are HTTP servers of ours in the lab's network, from which the real
containerd pulls.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.operator import Operator, sh
from tests.support.registry import ADDRESS, registry
from tests.support.service import IN_SERVICE, node

pytestmark = pytest.mark.lab

NODES = ("master1", "master2", "master3", "worker1")
WORDS = ("cluster.reconfigure", "--only", "containerd")
CONFIG = "/etc/containerd/config.toml"
MIRRORED = {"host": "mirrored.example", "mirrors": [f"http://{ADDRESS}:5000"]}
PASSWORD = 'wrong "horse\\battery'
PRIVATE = {"host": "private.example", "mirrors": [f"http://{ADDRESS}:5001"]}
LOGGED_IN = {"host": f"{ADDRESS}:5001", "login": {"user": "puller", "password_file": "secret"}}


@pytest.fixture(scope="module")
def owner(cluster: Operator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """An operator of a cluster that is whole, with a hosts.yaml of his own."""
    cluster.verified()
    somebody = Operator(cluster.lab, tmp_path_factory.mktemp("owner"))
    (somebody.directory / "secret").write_text(f"{PASSWORD}\n")
    (somebody.directory / "secret").chmod(0o600)
    yield somebody
    for host in NODES:
        sh(cluster, host, "rm -rf /var/lib/ha-runbooks/reconfigure")


def runtime(operator: Operator, **keys: Any) -> None:
    """Change keys of the container runtime in hosts.yaml."""
    operator.edit(lambda site: site["kubernetes"]["containerd"].update(keys))


def part(operator: Operator, text: str) -> list[str]:
    """Write a part of containerd's configuration, and return it for hosts.yaml."""
    (operator.directory / "part.toml").write_text(text)
    return ["part.toml"]


def differing(operator: Operator) -> set[tuple[str, str]]:
    """Return host and path of each difference of this topic; each has its command. Other tests may have left differences of other topics."""
    said = json.loads(operator.inv("cluster.diff", "--json").stdout.splitlines()[0])
    assert said["unread"] == []
    found = [each for each in said["differences"] if each["topic"] == "containerd"]
    assert {each["fix"] for each in found} <= {f"inv {' '.join(WORDS)} --host {host}" for host in NODES}
    return {(each["host"], each["key"]) for each in found}


def started(operator: Operator) -> dict[str, str]:
    """Return the process of containerd on each node."""
    return {host: sh(operator, host, "systemctl show -p MainPID --value containerd") for host in NODES}


def pulls(operator: Operator, host: str, image: str) -> bool:
    return operator.lab.console(host, ["crictl", "pull", image], timeout_s=60).returncode == 0


def test_a_mirror_is_used_at_once_and_nothing_restarts(owner: Operator, tmp_path: Path) -> None:
    runtime(owner, registries=[MIRRORED])
    hosts_toml = "/etc/containerd/certs.d/mirrored.example/hosts.toml"
    assert differing(owner) == {(host, hosts_toml) for host in NODES}
    before = started(owner)
    owner.good(*WORDS)
    with registry(owner.lab, 5000, tmp_path / "asked"):
        assert pulls(owner, "worker1", "mirrored.example/lab/thing:1")
    assert "GET /v2/lab/thing/manifests/" in (tmp_path / "asked").read_text()
    assert started(owner) == before
    owner.sees(*WORDS, told="nothing to do")


def test_another_root_directory_is_refused_on_a_member(owner: Operator) -> None:
    runtime(owner, root="/data/containerd")
    done = owner.inv(*WORDS)
    runtime(owner, root="/var/lib/containerd")
    assert (done.returncode, "inv cluster.remove --host" in done.stderr) == (3, True), done.stderr


def test_a_part_with_which_containerd_does_not_start_goes_back_and_no_other_node_is_touched(owner: Operator) -> None:
    runtime(owner, files=part(owner, 'version = 2\noom_score = "high"\n'))
    before, config = started(owner), {host: sh(owner, host, f"cat {CONFIG}") for host in NODES}
    exited, said = owner.follow(*WORDS, when=lambda _: False, act=lambda *_: None)
    error = next(each["error"] for each in said if each["event"] == "error")
    assert exited == 1, said
    assert "worker1: its runtime does not work with these settings" in error
    assert "failed to unmarshal TOML" in error, "containerd's last words"
    assert "Its old files are back, and containerd runs as before; it takes Pods again." in error
    assert "No other host was touched." in error
    assert {host: sh(owner, host, f"cat {CONFIG}") for host in NODES} == config
    assert {host: pid for host, pid in started(owner).items() if host != "worker1"} == {
        host: pid for host, pid in before.items() if host != "worker1"
    }
    assert sh(owner, "worker1", "ls /etc/containerd/ha-runbooks/v2 /var/lib/ha-runbooks/reconfigure").split() == [
        "/etc/containerd/ha-runbooks/v2:",
        "/var/lib/ha-runbooks/reconfigure:",
    ]
    assert node(owner, "worker1") == IN_SERVICE
    runtime(owner, files=[])


@pytest.mark.long
def test_a_setting_that_containerd_drops_without_a_word_goes_back_too(owner: Operator) -> None:
    runtime(owner, files=part(owner, 'version = 2\n[plugins."io.containerd.gc.v1.scheduler"]\n  deletion_treshold = 7\n'))
    exited, said = owner.follow(*WORDS, when=lambda _: False, act=lambda *_: None)
    error = next(each["error"] for each in said if each["event"] == "error")
    assert exited == 1, said
    assert "containerd does not take these settings" in error
    assert "deletion_treshold = 7" in error
    assert node(owner, "worker1") == IN_SERVICE
    runtime(owner, files=[])
    assert differing(owner) == set()


@pytest.mark.long
def test_what_is_written_by_hand_is_kept_until_it_is_dropped(owner: Operator) -> None:
    runtime(owner, runtimes={"other": {"type": "io.containerd.runc.v2"}})
    before = sh(owner, "worker1", f"cat {CONFIG}")
    sh(owner, "worker1", f'printf \'\\n[plugins."io.containerd.gc.v1.scheduler"]\\n  startup_delay = "1s"\\n\' >>{CONFIG}')
    done = owner.inv(*WORDS, "--host", "worker1")
    assert (done.returncode, "worker1" in done.stderr, "startup_delay = 1s" in done.stderr) == (3, True, True), done.stderr
    owner.sees("cluster.reconfigure", "--host", "worker1", told=f"{CONFIG} is left as it is, somebody has written it by hand")
    plan = owner.good(*WORDS, "--host", "worker1", "--drop", "--plan")
    assert "-  startup_delay" in plan
    sh(owner, "worker1", f"cat >{CONFIG}.new <<'X'\n{before}X\nmv {CONFIG}.new {CONFIG}")
    runtime(owner, runtimes={})


@pytest.mark.long
def test_all_topics_are_planned_in_one_run(owner: Operator) -> None:
    owner.edit(lambda site: site["kubernetes"]["kubelet"].update(maxPods=120))
    owner.edit(lambda site: site["kubernetes"].update(extra_args={"api_server": {"profiling": "false"}}))
    runtime(owner, runtimes={"other": {"type": "io.containerd.runc.v2"}})
    plan = owner.good("cluster.reconfigure", "--plan")
    for step in ("drain (containerd)", "its static pods run with them", "write its kubelet's configuration"):
        assert step in plan
    owner.edit(lambda site: site["kubernetes"]["kubelet"].pop("maxPods"))
    owner.edit(lambda site: site["kubernetes"].pop("extra_args"))
    runtime(owner, runtimes={})
    assert differing(owner) == set()


@pytest.mark.long
def test_killed_on_the_first_node_the_same_command_brings_everything_to_all_nodes(owner: Operator, tmp_path: Path) -> None:
    text = 'version = 2\n[plugins."io.containerd.gc.v1.scheduler"]\n  deletion_threshold = 7\n'
    runtime(
        owner,
        registries=[MIRRORED, PRIVATE, LOGGED_IN],
        runtimes={"other": {"type": "io.containerd.runc.v2"}},
        files=part(owner, text),
    )
    owner.edit(lambda site: site.update(baseline={"proxy": {"http": "http://10.1.1.12:3128"}}))
    end = lambda process, _: process.send_signal(signal.SIGKILL)  # noqa: E731
    killed = lambda event: event["event"] == "change" and "restart containerd" in json.dumps(event)  # noqa: E731
    exited, said = owner.follow(*WORDS, when=killed, act=end)
    assert exited == -signal.SIGKILL, said
    assert started(owner)
    owner.sees("doctor", told="inv cluster.reconfigure --only containerd goes on")
    clients = owner.done(*WORDS, "--json", timeout_s=900)
    assert "deletion_threshold = 7" in sh(owner, "worker1", "containerd config dump")
    for host in NODES:
        assert sh(owner, host, f"stat -c %a {CONFIG}").strip() == "600"
        assert "runtimes.other]" in sh(owner, host, "containerd config dump")
        assert "HTTP_PROXY=http://10.1.1.12:3128" in sh(owner, host, "tr '\\0' '\\n' </proc/$(pgrep -x kubelet)/environ")
        assert node(owner, host) == IN_SERVICE
    with registry(owner.lab, 5001, tmp_path / "asked", f"puller:{PASSWORD}"):
        assert pulls(owner, "worker1", "private.example/lab/secret:1"), "with the login, and not through the proxy"
    assert "/manifests/1?ns=private.example 200" in (tmp_path / "asked").read_text()
    written = "".join(path.read_text() for path in (owner.directory / ".runbooks").rglob("*.jsonl"))
    assert "horse" not in written + clients
    assert differing(owner) == set()
    owner.sees(*WORDS, told="nothing to do")


@pytest.mark.long
def test_what_hosts_yaml_names_no_more_goes(owner: Operator) -> None:
    runtime(owner, registries=[], runtimes={}, files=[])
    owner.edit(lambda site: site.pop("baseline"))
    assert ("worker1", "/etc/containerd/certs.d/mirrored.example/hosts.toml") in differing(owner)
    owner.done(*WORDS, timeout_s=900)
    assert differing(owner) == set()
    assert "HTTP_PROXY" not in sh(owner, "worker1", "tr '\\0' '\\n' </proc/$(pgrep -x containerd)/environ")
    assert sh(owner, "worker1", f"stat -c %a {CONFIG}").strip() == "644"


def test_the_cluster_is_as_it_was(owner: Operator) -> None:
    runtime(owner, registries=[], runtimes={}, files=[])
    owner.good(*WORDS)
    assert sh(owner, "worker1", "ls /etc/containerd/certs.d/*") == ""
    owner.verified()
