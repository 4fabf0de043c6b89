"""The container runtime of living nodes: what is written by hand, what containerd did not take, what notes keep, and the way back."""

from __future__ import annotations

import os
import subprocess
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runbooks.cluster import runtime as cluster_runtime
from runbooks.cluster.runtime_files import containerd_file
from runbooks.commands import files, prepare, runtime_dump, runtime_files
from runbooks.commands.base import HOST_SCRIPTS, Answer, Command, Probe, Secret
from runbooks.commands.containerd import Config
from runbooks.commands.files import File, Found
from runbooks.commands.prepare import CONTAINERD_CONFIG, Runtime
from runbooks.commands.reconfigure import Note, parse
from runbooks.commands.runtime_files import Proxied
from runbooks.day2 import diff_hosts, runtime, runtime_proof, runtime_turns
from runbooks.day2.rules.runtime import not_taken
from runbooks.day2.runtime import Runtimes
from runbooks.errors import PrecheckError
from runbooks.inventory.load import load_site
from runbooks.inventory.model import Host, Site
from runbooks.rules.no_proxy import no_proxy
from runbooks.rules.runtime_settings import by_hand
from runbooks.upgrade.context import Upgrade
from runbooks.upgrade.rules.choices import Choices
from runbooks.upgrade.rules.customised import KUBELET_CONFIG
from tests.support.fakes import bash, master
from tests.unit.cluster.test_kubeadm_config import described

pytestmark = pytest.mark.unit

PAUSE = "k8s/pause:3.9"
PASSWORDS = {"a.example": Secret("horse")}
MIRRORED = {"host": "docker.io", "mirrors": ["https://a.example"]}
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
    headers = '[plugins.x]\n  headers = [{Authorization = "Basic cow"}]\n'
    assert by_hand(headers, plain) == ["plugins.x.headers = ***"]


@pytest.mark.parametrize(
    ("major", "ours", "theirs"),
    [
        (1, 'config_path = "/etc/containerd/certs.d"', 'config_path = "/mine"'),
        (2, 'config_path = "/etc/containerd/certs.d"', 'config_path = ""'),
        (1, 'runtime_type = "io.containerd.runc.v2"', 'runtime_type = "a.b"'),
        (2, 'runtime_type = "io.containerd.runc.v2"', 'runtime_type = "a.b"'),
        (1, 'bin_dir = "/opt/cni/bin"', 'bin_dir = "/usr/lib/cni"'),
    ],
)
def test_another_value_than_ours_is_of_somebodys_hand(tmp_path: Path, major: int, ours: str, theirs: str) -> None:
    whole = text(tmp_path, major)
    assert whole.count(ours) == 1
    changed = whole.replace(ours, theirs)
    for wanted in (whole, text(tmp_path, 3 - major)):
        (found,) = by_hand(changed, wanted)
        assert found.endswith(theirs.replace('"', ""))


def test_what_hosts_yaml_decides_may_have_had_another_value(tmp_path: Path) -> None:
    other = {"runtimes": {"other": {"type": "a.b"}}, "restrict_oom_score_adj": True, "root": "/data/containerd"}
    before, now = text(tmp_path, **other), text(tmp_path, **KEYS)
    assert by_hand(before.replace("SystemdCgroup = false", "SystemdCgroup = true"), now) == []
    assert by_hand(before.replace("# hosts.yaml", "# mine"), now) == [], "hosts.yaml names that runtime"


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
    links: tuple[str, ...] = ()
    proxies: dict[str, Proxied] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    @property
    def listener(self) -> Any:
        return SimpleNamespace(say=self.said.append)

    def read(self, _: Host, probe: Probe[Any]) -> Any:
        shown = str(probe.command)
        config = Config(cgroups="cgroupfs", sandbox=PAUSE, cni=("/opt/cni/bin",))
        answers = {
            "cat /var/lib/ha-runbooks/reconfigure": self.note,
            "runtime-look": Runtime(
                active="active", enabled="enabled", kubelet="enabled", loaded=True, answers=True, config=config
            ),
            "files-found": self.files | {path: Found("", "link", "", link="/elsewhere") for path in self.links},
            "the proxies": self.proxies,
            "systemctl cat kubelet": SimpleNamespace(files={KUBELET_CONFIG: f"cgroupDriver: {self.driver}\n"}),
            "containerd config dump": {"root": self.root},
        }
        other = SimpleNamespace(packages={"containerd": self.version}, joined=True)
        return next((answer for begin, answer in answers.items() if shown.startswith(begin)), other)

    def place(self, host: Host, _: list[File], __: dict[str, Found], command: Command) -> None:
        self.change(host, command)

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
        ({"links": (CONTAINERD_CONFIG,)}, f"a symbolic link, and only a file is written: {CONTAINERD_CONFIG}", "readlink -f"),
    ],
)
def test_what_a_member_cannot_have(tmp_path: Path, change: dict[str, Any], seen: str, way: str) -> None:
    site, run = described(tmp_path, containerd=KEYS, cgroup_driver="cgroupfs"), Machine({}, **change)
    left = {master(1): runtime.left(runtimes(site), run, master(1))}  # type: ignore[arg-type]
    found = [*runtime_turns._impossible(run, site, left), *runtime_turns._other_driver(run, site, left)]  # type: ignore[arg-type]
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


@pytest.mark.parametrize("change", [{"root": "/data"}, {"links": (CONTAINERD_CONFIG,)}])
def test_a_host_that_cannot_have_the_settings_is_left_out_unless_the_topic_was_asked_for(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    all_ = runtimes(described(tmp_path, containerd=KEYS, cgroup_driver="cgroupfs"))
    run: Any = Machine({}, **change)
    left = {master(1): runtime.left(all_, run, master(1))}
    found = list(runtime_turns._impossible(run, all_.site, left))
    assert runtime_turns._left_out(run, left, found, must=[]) == {}
    assert [line.startswith("master1: its container runtime is left as it is: ") for line in run.said] == [True]
    with pytest.raises(PrecheckError, match=r"/data|symbolic link"):
        runtime_turns._left_out(run, left, found, must=left)
    assert runtime_turns._left_out(run, left, [], must=left) == left
    assert run.sent == []


@pytest.mark.parametrize("note", [None, Note({}, (PAUSE,), proved=True)])
def test_what_is_read_at_every_pull_comes_to_a_host_whose_note_is_proved_too(tmp_path: Path, note: Note | None) -> None:
    all_ = runtimes(described(tmp_path, containerd={"registries": [MIRRORED]}, cgroup_driver="cgroupfs"))
    run: Any = Machine({}, note=note)
    there = {file.path: Found(file.content, file.mode, file.owner) for file in runtime.wanted(all_, run, master(1))}
    hosts_toml = next(path for path in there if path.endswith("hosts.toml"))
    run.files = {path: each for path, each in there.items() if path != hosts_toml}
    assert runtime_turns._written_at_once(all_, run, {master(1): runtime.left(all_, run, master(1))}) == [master(1)]
    step = runtime.registries(all_, master(1))
    assert step.done
    assert step.do
    assert not step.done(run)
    step.do(run)
    assert run.sent == [f"files-place {hosts_toml}"]
    run.note = Note({}, (PAUSE,))
    assert runtime_turns._written_at_once(all_, run, {master(1): runtime.left(all_, run, master(1))}) == [], "all of it comes"


def test_a_node_is_not_drained_for_modes_and_for_parts_that_its_containerd_does_not_read(tmp_path: Path) -> None:
    for number in (2, 3):
        (tmp_path / f"v{number}.toml").write_text(f"version = {number}\n")
    keys = {"files": ["v2.toml", "v3.toml"]}
    all_ = runtimes(described(tmp_path, containerd=keys, cgroup_driver="cgroupfs"))
    run: Any = Machine({})
    there = {file.path: Found(file.content, file.mode, file.owner) for file in runtime.wanted(all_, run, master(1))}
    read, other = (f"{runtime_files.PARTS}/v{number}/v{number}.toml" for number in (2, 3))
    stray = f"{runtime_files.PARTS}/v3/gone.toml"
    run.files = {path: each for path, each in there.items() if path != other}
    run.files |= {CONTAINERD_CONFIG: replace(there[CONTAINERD_CONFIG], mode="0666"), read: replace(there[read], owner="ops:ops")}
    run.files[stray] = Found("version = 3\n", "0600", "root:root")
    assert runtime.arrived(all_, run, master(1))
    step = runtime.registries(all_, master(1))
    assert step.do
    step.do(run)
    assert run.sent == [f"files-place {other}", f"files-mode {CONTAINERD_CONFIG} {read}", f"rm -f -- {stray}"]
    run.files = {path: each for path, each in there.items() if path != read}
    assert not runtime.arrived(all_, run, master(1)), "containerd 1.x reads it"
    run.files = there | {read: Found("version = 2\noom_score = 1\n", "0600", "root:root")}
    assert not runtime.arrived(all_, run, master(1))


def test_only_a_file_of_others_is_kept(tmp_path: Path) -> None:
    site = described(tmp_path, containerd={**KEYS, "registries": [*KEYS["registries"], MIRRORED]}, cgroup_driver="cgroupfs")
    run: Any = Machine({})
    wanted = runtime.wanted(runtimes(site), run, master(1))
    config = next(file.content for file in wanted if file.path == CONTAINERD_CONFIG)
    hosts_toml = next(file.path for file in wanted if file.path.endswith("hosts.toml"))
    ours, theirs = "# Written by ha-runbooks. Old.\n", 'server = "https://x"\n'
    edited = f"oom_score = 1\n{config}"
    assert "horse" in config
    for path, content, kept in (
        (CONTAINERD_CONFIG, config.replace("horse", "old"), False),
        (CONTAINERD_CONFIG, config.replace("version = 2", "version = 2\noom_score = 1"), True),
        (CONTAINERD_CONFIG, edited, True),
        (CONTAINERD_CONFIG, "", True),
        (hosts_toml, ours, False),
        (hosts_toml, theirs, True),
    ):
        run.files, run.sent = {path: Found(content, "0600", "root:root")}, []
        cluster_runtime.place(run, master(1), wanted)
        assert (str(prepare.keep(path)) in run.sent) is kept, (path, content)


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
    run.sent = []
    runtime_proof.put_back(run, master(1), Note({CONTAINERD_CONFIG: ""}, modes={CONTAINERD_CONFIG: "0644 root:root"}))  # type: ignore[arg-type]
    assert run.sent[0] == f"files-place {CONTAINERD_CONFIG}", "it was there, and empty"


# ---- the proxy


def test_a_proxy_of_others_is_named_without_its_value_and_cluster_diff_says_the_same(tmp_path: Path) -> None:
    described(tmp_path)
    path = tmp_path / "hosts.yaml"
    path.write_text(f"{path.read_text()}baseline: {{proxy: {{https: 'http://10.1.1.5:3128'}}}}\n")
    site = load_site(path).site
    right = {"HTTPS_PROXY": "http://10.1.1.5:3128", "NO_PROXY": no_proxy(site), "HTTP_PROXY": "of others"}
    wrong = Proxied(right | {"HTTPS_PROXY": "http://u:horse@x"}, ("/etc/systemd/system/kubelet.service.d/zzz.conf",))
    running = {"containerd": Proxied(right), "kubelet": wrong}
    run: Any = Machine({}, proxies=running)
    why = cluster_runtime.other_proxy(run, site, master(1))
    assert why == (
        "kubelet runs with another HTTPS_PROXY than hosts.yaml says (baseline.proxy): also set in "
        "/etc/systemd/system/kubelet.service.d/zzz.conf; take it out there, then run the command again"
    )
    (found,) = diff_hosts._of_proxy(site, master(1), running)
    assert (found.topic, found.key, found.why) == ("containerd", "proxy of kubelet", why)
    assert "systemctl show-environment" in cluster_runtime.unlike(site, {"containerd": Proxied({})})
    assert cluster_runtime.unlike(site, {"containerd": Proxied(right)}) == cluster_runtime.unlike(site, {}) == ""


def test_a_service_says_its_proxies_and_which_files_of_its_unit_set_one(tmp_path: Path) -> None:
    folder = tmp_path / "containerd.service.d"
    folder.mkdir()
    for name, content in (
        ("override.conf", '[Service]\nEnvironment="X=a;b" "HTTPS_PROXY=http://x"\n'),
        ("other.conf", "[Service]\n# HTTP_PROXY=http://x\n"),
        (runtime_files.PROXY_PART, 'Environment="HTTP_PROXY=http://x"\n'),
    ):
        (folder / name).write_text(content)
    (tmp_path / "environment").write_text("NO_PROXY=a\n")
    unit = tmp_path / "containerd.service"
    unit.write_text("[Service]\n")
    drop_ins = " ".join(map(str, sorted(folder.iterdir())))
    with subprocess.Popen(["sleep", "60"], env={"HTTPS_PROXY": "http://x", "PATH": "/usr/bin:/bin"}) as process:
        fake = (
            f'systemctl() {{ case "$*" in *MainPID*containerd) echo {process.pid} ;; *MainPID*) echo 0 ;;\n'
            f"*) printf 'EnvironmentFiles={tmp_path}/environment (ignore_errors=yes)\nFragmentPath={unit}\n"
            f"DropInPaths={drop_ins}\n' ;; esac; }}\n"
        )
        probe = runtime_files.environment()
        found = probe.parse(bash(fake + probe.command.program))
        process.kill()
    assert found == {"containerd": Proxied({"HTTPS_PROXY": "http://x"}, (f"{tmp_path}/environment", f"{folder}/override.conf"))}


# ---- what hosts are asked


def test_links_are_told_and_modes_are_set_without_another_time(tmp_path: Path) -> None:
    plain, link, dangling = tmp_path / "plain", tmp_path / "link", tmp_path / "dangling"
    plain.write_text("x")
    link.symlink_to(plain)
    dangling.symlink_to(tmp_path / "nothing")
    paths = [str(each) for each in (plain, link, dangling, tmp_path / "none")]
    probe = runtime_files.look(paths)
    assert files.links(paths, probe.parse(bash(probe.command.program))) == [str(link), str(dangling)]
    before = plain.stat().st_mtime_ns
    assert (
        bash(runtime_files.set_modes([File(str(plain), "x", mode="0600", owner=f"{os.getuid()}:{os.getgid()}")]).program).exited
        == 0
    )
    assert (plain.stat().st_mode & 0o777, plain.stat().st_mtime_ns) == (0o600, before)


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
