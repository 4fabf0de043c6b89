"""kubeadm-run.sh, run for real up to the unit that it starts: which phases join etcd, by what this kubeadm's help knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from runbooks.commands import kubeadm
from runbooks.commands.base import Command, Secret
from tests.support.fakes import bash

pytestmark = pytest.mark.unit

# What `kubeadm join phase PHASE --help` prints where it has the phase; else it prints the help of the command above, exit status 0.
KUBEADM = """#!/bin/bash
case $* in
*--help) for has in HAS; do [[ "join phase ${has/+/ } --help" != "$*" ]] || { echo "  kubeadm join phase ${has/+/ } [flags]"; exit; }; done
    echo "  kubeadm join phase [command]" ;;
*) echo "$*" >>"TOP/ran"; [ "$3" != WORKS ] || { mkdir -p TOP/kubernetes/manifests && touch TOP/kubernetes/manifests/etcd.yaml; }
    [ WORKS != fails ] || { echo "error execution phase control-plane-join/etcd"; exit 1; } ;;
esac
"""
SYSTEMCTL = "#!/bin/bash\n[ $1 != show ] || echo inactive\n"
SYSTEMD_RUN = '#!/bin/bash\nwhile [ "$1" != -- ]; do shift; done; shift; "$@"\n'
OLD, NEW, BOTH = "control-plane-join+etcd", "etcd-join", "etcd-join control-plane-join+etcd"


@pytest.fixture
def host(tmp_path: Path):
    def run(has: str, works: str, command: Command | None = None, cgroup: str = "tmpfs"):
        (tmp_path / "bin").mkdir()
        programs = {
            "kubeadm": KUBEADM.replace("HAS", has).replace("WORKS", works),
            "systemctl": SYSTEMCTL,
            "systemd-run": SYSTEMD_RUN,
            "stat": f'#!/bin/bash\n[ "$*" != "-fc %T /sys/fs/cgroup" ] || echo {cgroup}\n',
        }
        for name, text in programs.items():
            (tmp_path / "bin" / name).write_text(text.replace("TOP", str(tmp_path)))
            (tmp_path / "bin" / name).chmod(0o755)
        program = (command or kubeadm.join_etcd(Secret("kind: JoinConfiguration"))).program
        for path in ("/etc/kubernetes", "/var/lib/ha-runbooks", "/run/ha-runbooks-kubeadm"):
            program = program.replace(path, f"{tmp_path}/{Path(path).name}")
        answer = bash(f"PATH={tmp_path}/bin:$PATH\n{program}")
        ran = (tmp_path / "ran").read_text().splitlines() if (tmp_path / "ran").exists() else []
        return answer, [line.partition(" --config=")[0].removeprefix("join phase ") for line in ran]

    return run


@pytest.mark.parametrize(
    ("has", "works", "ran"),
    [
        (OLD, "control-plane-join", ["control-plane-join etcd"]),
        (BOTH, "etcd-join", ["etcd-join", "control-plane-join etcd"]),
        (BOTH, "control-plane-join", ["etcd-join", "control-plane-join etcd"]),
        (NEW, "etcd-join", ["etcd-join"]),
    ],
    ids=["up to 1.32", "1.33 and 1.34", "1.33 and 1.34 without the gate", "from 1.35 on"],
)
def test_the_phases_that_this_kubeadm_has_are_run(host, has, works, ran):
    answer, phases = host(has, works)
    assert (answer.exited, phases) == (0, ran)


def test_a_phase_that_did_nothing_is_an_error(host):
    answer, _ = host(OLD, "nothing")
    assert answer.exited == 1
    assert "kubeadm wrote no etcd.yaml" in answer.stderr


def test_a_kubeadm_without_such_a_phase_is_refused(host):
    answer, phases = host("", "nothing")
    assert (answer.exited, phases) == (1, [])
    assert "no phase that joins etcd" in answer.stderr


@pytest.mark.parametrize("action", [kubeadm.init, kubeadm.join], ids=["init", "join"])
@pytest.mark.parametrize(("accepted", "cgroup", "ignored"), [
    (True, "tmpfs", True), (True, "cgroup2fs", False), (False, "tmpfs", False), (False, "cgroup2fs", False),
])  # fmt: skip
def test_system_verification_is_ignored_only_on_cgroup_v1_and_where_the_site_accepts_it(
    host, tmp_path, action, accepted, cgroup, ignored
):
    answer, _ = host("", "nothing", action(Secret("kind: x"), cgroup_v1=accepted), cgroup)
    assert answer.exited == 0, answer.stderr
    assert ("--ignore-preflight-errors=SystemVerification" in (tmp_path / "ran").read_text()) == ignored
    assert "--ignore-preflight-errors=ImagePull" in (tmp_path / "ran").read_text()


@pytest.mark.parametrize(
    ("names", "ignored"),
    [((), False), (("lost+found",), True), (("aside-1", "lost+found"), True), (("member", "lost+found"), False)],
)
def test_etcds_directory_is_the_sites_own(host, tmp_path, names, ignored):
    data = tmp_path / "data" / "etcd"
    data.mkdir(parents=True)
    for name in names:
        (data / name).mkdir()
    answer, _ = host("", "nothing", kubeadm.join(Secret("kind: x"), etcd_data=str(data)))
    assert answer.exited == 0, answer.stderr
    check = f"DirAvailable-{str(data).replace('/', '-')}"
    assert (f"--ignore-preflight-errors={check}" in (tmp_path / "ran").read_text()) == ignored
