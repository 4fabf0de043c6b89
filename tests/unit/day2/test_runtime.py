"""The container runtime of living nodes: what is written by hand, what containerd did not take, what notes keep, and the way back."""

from __future__ import annotations

import subprocess
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runbooks.cluster.runtime_files import containerd_file
from runbooks.commands import prepare, runtime_dump, runtime_files
from runbooks.commands.base import HOST_SCRIPTS, Answer, Command, Probe, Secret
from runbooks.commands.containerd import Config
from runbooks.commands.files import Found
from runbooks.commands.prepare import CONTAINERD_CONFIG, Runtime
from runbooks.commands.reconfigure import Note, parse
from runbooks.day2 import runtime, runtime_proof, runtime_turns
from runbooks.day2.rules.runtime import by_hand, not_taken
from runbooks.day2.runtime import Runtimes
from runbooks.errors import PrecheckError
from runbooks.inventory.model import Host, Site
from runbooks.upgrade.context import Upgrade
from runbooks.upgrade.rules.choices import Choices
from runbooks.upgrade.rules.customised import KUBELET_CONFIG
from tests.support.fakes import bash, master
from tests.unit.cluster.test_kubeadm_config import described

pytestmark = pytest.mark.unit

PAUSE = "k8s/pause:3.9"
PASSWORDS = {"a.example": Secret("horse")}
KEYS: dict[str, Any] = {
    "registries": [{"host": "a.example", "login": {"user": "puller", "password_env": "WORD"}}],
    "runtimes": {"other": {"type": "io.containerd.runc.v2"}},
}


def text(directory: Path, major: int = 1, **keys: Any) -> str:
    site = described(directory, containerd=keys, cgroup_driver="cgroupfs")
    return containerd_file(site, PAUSE, major, passwords=PASSWORDS).content


# ---- rules


@pytest.mark.parametrize("major", [1, 2])
def test_what_this_tool_has_written_is_not_of_somebodys_hand(tmp_path: Path, major: int) -> None:
    full, plain = text(tmp_path, major, **KEYS, root="/data/containerd"), text(tmp_path, major)
    assert by_hand(full, plain) == by_hand(plain, full) == []
    assert by_hand(text(tmp_path, 1, **KEYS), text(tmp_path, 2)) == [], "the form of another version"


def test_what_somebody_has_written_by_hand_is_named_without_passwords(tmp_path: Path) -> None:
    plain = text(tmp_path)
    more = (
        f'{plain}\n[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.mine]\n  runtime_type = "a.b"\n'
        '[plugins."io.containerd.grpc.v1.cri".registry.configs."b.example".auth]\n  password = "cow"\n'
    )
    assert by_hand(more, plain) == [
        "plugins.io.containerd.grpc.v1.cri.containerd.runtimes.mine.runtime_type = a.b",
        "plugins.io.containerd.grpc.v1.cri.registry.configs.b.example.auth.password = ***",
    ]
    assert by_hand('imports = ["/etc/containerd/mine.toml"]\n', plain) == ["imports = ['/etc/containerd/mine.toml']"]
    assert by_hand("version = \n", plain)[0].startswith("it is no TOML")


def test_what_containerd_has_not_taken_over(tmp_path: Path) -> None:
    wanted = text(tmp_path, **KEYS)
    dump = tomllib.loads(wanted)
    part = 'version = 2\noom_score = 1\n[plugins."io.containerd.gc.v1.scheduler"]\n  deletion_treshold = 7\n'
    assert not_taken([wanted], dump) == []
    assert not_taken([wanted, part], dump) == ["plugins.io.containerd.gc.v1.scheduler.deletion_treshold = 7"]
    del dump["plugins"]["io.containerd.grpc.v1.cri"]["containerd"]["runtimes"]["other"]
    assert len(not_taken([wanted], dump)) == 2
    assert not_taken([text(tmp_path, 1)], tomllib.loads(text(tmp_path, 2))) == [], (
        "containerd 2 takes version 2 over into other sections"
    )


# ---- steps, on a host in memory


@dataclass
class Machine:
    """A host: its files, its note, and what was sent to it."""

    files: dict[str, Found]
    note: Note | None = None
    sent: list[str] = field(default_factory=list)
    plan: bool = False
    driver: str = "cgroupfs"  # of its kubelet
    root: str = "/var/lib/containerd"
    version: str = "1.6.20~ds1-1"
    said: list[str] = field(default_factory=list)

    @property
    def listener(self) -> Any:
        return SimpleNamespace(say=self.said.append)

    def read(self, _: Host, probe: Probe[Any]) -> Any:
        shown = str(probe.command)
        if shown.startswith("cat /var/lib/ha-runbooks/reconfigure"):
            return self.note
        if shown == "runtime-look":
            config = Config(cgroups="cgroupfs", sandbox=PAUSE, cni=("/opt/cni/bin",))
            return Runtime(active="active", enabled="enabled", kubelet="enabled", loaded=True, answers=True, config=config)
        if shown.startswith("files-found"):
            return self.files
        if shown.startswith("systemctl cat kubelet"):
            return SimpleNamespace(files={KUBELET_CONFIG: f"cgroupDriver: {self.driver}\n"})
        if shown == "containerd config dump":
            return {"root": self.root}
        return SimpleNamespace(packages={"containerd": self.version}, joined=True)

    def change(self, _: Host, command: Command) -> None:
        self.sent.append(str(command))
        if "note in" in str(command):
            start = command.program.index("CONTENT=") + len("CONTENT=")
            self.note = parse(Answer(0, command.program[start:].splitlines()[0].strip().strip("'\"").replace("'\\''", "'")))


def runtimes(site: Site) -> Runtimes:
    to = (1, 30, 1)
    return Runtimes(Upgrade(site, to, Choices(to=to)), PASSWORDS)


def test_a_note_keeps_how_files_were_and_what_was_not_there(tmp_path: Path) -> None:
    mine = "# Written by ha-runbooks\nmine"
    stray = "/etc/containerd/certs.d/gone.example/hosts.toml"
    run = Machine({CONTAINERD_CONFIG: Found(mine, "0640", "root:adm"), stray: Found("x", "0644", "root:root")})
    (tmp_path / "a.toml").write_text("version = 2\n")
    all_ = runtimes(described(tmp_path, containerd={**KEYS, "files": ["a.toml"]}, cgroup_driver="cgroupfs"))
    step = runtime.begin(all_, master(1))
    assert step.done
    assert step.do
    assert not step.done(run)  # type: ignore[arg-type]
    step.do(run)  # type: ignore[arg-type]
    added = "/etc/containerd/ha-runbooks/v2/a.toml"
    assert run.note
    assert dict(run.note.before) == {CONTAINERD_CONFIG: mine, added: "", stray: "x"}
    assert run.note.modes == {CONTAINERD_CONFIG: "0640 root:adm", stray: "0644 root:root"}
    assert run.note.keys == (PAUSE,)
    assert step.done(run)  # type: ignore[arg-type]
    assert "horse" not in " ".join(run.sent)
    run.files = {file.path: Found(file.content, file.mode, file.owner) for file in runtime.wanted(all_, run, master(1))}  # type: ignore[arg-type]
    assert not runtime.arrived(all_, run, master(1)), "the files are there, and nobody knows whether containerd runs with them"  # type: ignore[arg-type]
    step.do(run)  # type: ignore[arg-type]
    assert dict(run.note.before) == {CONTAINERD_CONFIG: mine, added: "", stray: "x"}


@pytest.mark.parametrize(
    ("change", "seen", "way"),
    [
        ({}, "", ""),
        ({"root": "/data"}, "keeps images and containers in /data", "inv cluster.remove --host master1"),
        ({"driver": "systemd"}, "its kubelet has the cgroup driver systemd", "inv cluster.remove --host master1"),
        ({"version": "1.4.13~ds1-1"}, "containerd 1.4 does not read hosts.toml", "inv upgrade.containerd --only master1"),
    ],
)
def test_what_a_member_cannot_have(tmp_path: Path, change: dict[str, str], seen: str, way: str) -> None:
    site, run = described(tmp_path, containerd=KEYS, cgroup_driver="cgroupfs"), Machine({}, **change)
    left = runtime.left(runtimes(site), run, master(1))  # type: ignore[arg-type]
    found = list(runtime_turns._impossible(run, site, {master(1): left}))  # type: ignore[arg-type]
    assert [seen in each.seen and way in each.fix for each in found] == ([True] if seen else [])


def test_a_file_of_somebodys_hand_is_left_alone_unless_the_topic_was_asked_for(tmp_path: Path) -> None:
    all_ = runtimes(described(tmp_path, containerd=KEYS, cgroup_driver="cgroupfs"))
    mine = Found("version = 2\noom_score = -999\n", "0644", "root:root")
    run: Any = Machine({CONTAINERD_CONFIG: mine})
    left = {master(1): runtime.left(all_, run, master(1))}
    assert runtime_turns._untouched(all_, run, left, asked=False) == {}
    assert run.said == [
        "master1: /etc/containerd/config.toml is left as it is, somebody has written it by hand: oom_score = -999"
    ]
    with pytest.raises(PrecheckError, match="oom_score = -999"):
        runtime_turns._untouched(all_, run, left, asked=True)


def test_the_way_back_brings_modes_back_and_takes_away_what_was_not_there() -> None:
    kubelet = runtime_files.PROXY_PART
    proxy = f"/etc/systemd/system/kubelet.service.d/{kubelet}"
    run = Machine({})
    note = Note({CONTAINERD_CONFIG: "old", proxy: ""}, modes={CONTAINERD_CONFIG: "0640 root:adm"})
    runtime_proof.put_back(run, master(1), note)  # type: ignore[arg-type]
    assert run.sent == [
        f"files-place {CONTAINERD_CONFIG}",
        f"rm -f -- {proxy}",
        str(prepare.run_runtime()),
        "systemctl restart kubelet",
    ]


# ---- what hosts are asked


def test_the_dump_has_no_passwords(tmp_path: Path) -> None:
    full = text(tmp_path, **KEYS)
    said = bash(
        f"containerd() {{ cat <<'EOF'\n{full}EOF\n}}\ntimeout() {{ shift; \"$@\"; }}\n{runtime_dump.look().command.program}"
    )
    assert "horse" not in said.stdout
    dump = runtime_dump.parse(said)
    assert not_taken([full], dump) == []


def test_files_of_ours_are_found_wherever_they_are_and_others_are_not(tmp_path: Path) -> None:
    certs = tmp_path / "certs.d"
    for name, content in (("ours", "# Written by ha-runbooks."), ("theirs", 'server = "https://x"')):
        (certs / name).mkdir(parents=True)
        (certs / name / "hosts.toml").write_text(content)
    (tmp_path / "parts/v2").mkdir(parents=True)
    (tmp_path / "parts/v2/a.toml").write_text("version = 2")
    wanted = str(certs / "theirs/hosts.toml")
    program = (
        runtime_files.look([wanted])
        .command.program.replace(runtime_files.CERTS, str(certs))
        .replace(runtime_files.PARTS, f"{tmp_path}/parts")
    )
    found = runtime_files.look([]).parse(bash(program))
    assert set(found) == {wanted, str(certs / "ours/hosts.toml"), f"{tmp_path}/parts/v2/a.toml"}


def test_a_part_that_is_newer_than_the_start_is_not_loaded(tmp_path: Path) -> None:
    parts, config = tmp_path / "etc/containerd/ha-runbooks/v2", tmp_path / "config.toml"
    parts.mkdir(parents=True)
    config.write_text('imports = ["/etc/containerd/ha-runbooks/v2/*.toml"]\n')
    script = (HOST_SCRIPTS / "runtime-written.sh").read_text().replace("$parts", f"{tmp_path}$parts")
    subprocess.run(["touch", "-d", "@1000", str(config)], check=True)
    for stamp, written in ((900, 1000), (2000, 2000)):
        subprocess.run(["touch", "-d", f"@{stamp}", str(parts)], check=True)
        assert bash(f"{script}\nruntime_written {config}").stdout.strip() == str(written)
