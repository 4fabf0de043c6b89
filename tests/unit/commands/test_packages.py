"""What apt-get and dnf say about repositories, what that means, and who is waited for."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from runbooks.commands import packages, prepare
from runbooks.commands.base import Answer, script
from runbooks.commands.packages import Broken
from tests.support.fakes import bash

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("line", "expected"),
    [  # as apt 2.6 and dnf 4.14 print them
        (
            "W: Failed to fetch http://10.9.9.9/debian/dists/bookworm/InRelease  Could not connect to 10.9.9.9:80, connection timed out",
            Broken("http://10.9.9.9/debian bookworm", "Could not connect to 10.9.9.9:80, connection timed out"),
        ),
        (
            "E: Failed to fetch file:/srv/nothere/./Packages  File not found - /srv/nothere/./Packages (2: No such file or directory)",
            Broken("file:/srv/nothere", "File not found - /srv/nothere/./Packages (2: No such file or directory)"),
        ),
        (
            "E: The repository 'file:/srv/nothere ./ Release' does not have a Release file.",
            Broken("file:/srv/nothere", "does not have a Release file"),
        ),
        (
            "E: The repository 'https://pkgs.k8s.io/core:/stable:/v1.30/deb  InRelease' is not signed.",
            Broken("https://pkgs.k8s.io/core:/stable:/v1.30/deb", "is not signed"),
        ),
        (
            "E: Release file for file:/srv/exp/./Release is expired (invalid since 1055d 5h). Updates for this repository will not be applied.",
            Broken("file:/srv/exp", "is expired (invalid since 1055d 5h)"),
        ),
        (
            "E: GPG error: file:/srv/exp ./ Release: Signed file isn't valid, got 'NODATA' (does the network require authentication?)",
            Broken("file:/srv/exp", "Signed file isn't valid, got 'NODATA' (does the network require authentication?)"),
        ),
        (
            "W: An error occurred during the signature verification. The repository is not updated. GPG error: http://a.example/deb sid InRelease: The following signatures couldn't be verified: NO_PUBKEY 1234",
            Broken("http://a.example/deb sid", "The following signatures couldn't be verified: NO_PUBKEY 1234"),
        ),
        (
            "E: Repository 'http://a.example/deb sid InRelease' changed its 'Suite' value from 'stable' to 'oldstable'",
            Broken("http://a.example/deb sid", "changed its 'Suite' value from 'stable' to 'oldstable'"),
        ),
        (
            "E: Malformed entry 1 in list file /etc/apt/sources.list.d/b.list ([option] unparsable)",
            Broken("/etc/apt/sources.list.d/b.list", "Malformed entry 1"),
        ),
        ("Error: no space left", Broken("of this host", "no space left")),  # apt 3 writes the word
        (
            "Errors during downloading metadata for repository 'gone':  - Curl error (37): Couldn't read a file",
            Broken("gone", "Curl error (37): Couldn't read a file"),
        ),
        (
            "Error: Failed to download metadata for repo 'gone': Cannot download repomd.xml",
            Broken("gone", "Cannot download repomd.xml"),
        ),
        ("W: Target Packages (Packages) is configured multiple times in /etc/apt/x.list:1 and /etc/apt/x.list:2", None),
        ("W: https://a.example/InRelease: Key is stored in legacy trusted.gpg keyring", None),
        ("W: Some index files failed to download. They have been ignored, or old ones used instead.", None),
        ("E: Some index files failed to download. They have been ignored, or old ones used instead.", None),
    ],
)
def test_a_repository_that_cannot_be_used(line, expected):
    assert packages.broken([line, line]) == ((expected,) if expected else ())


def test_one_repository_is_told_once():
    lines = ["Errors during downloading metadata for repository 'x':   - a", "Error: Failed to download metadata for repo 'x': b"]
    assert packages.broken(lines) == (Broken("x", "a"),)


def test_what_only_a_broken_repository_offers_is_not_offered():
    lines = ["kubeadm 1 http://a.example sid/main", "kubeadm 1 http://b.example ./", "kubelet 1 http://a.example sid/main", "x 1"]
    there = packages.offers(lines, [Broken("http://a.example sid", "")])
    assert there == (("kubeadm", "1"), ("x", "1"))
    assert packages.offers(lines, [Broken("http://a.example bookworm", "")]) == (("kubeadm", "1"), ("kubelet", "1"), ("x", "1"))


def test_what_the_operator_hears_of_an_installation_that_went_well():
    said = (
        "waited 12 unattended-upgr (process 812)\ntrouble W: Failed to fetch http://a.example/InRelease  no route\nother line\n"
    )
    assert packages.notes(Answer(0, said)) == [
        "waited 12 s for unattended-upgr (process 812), which used the package manager",
        "the package repository http://a.example cannot be used: no route",
    ]
    assert packages.notes(None) == []


def stand_in(directory: Path, text: str) -> str:
    """Make a command that is patient with it, and return its beginning."""
    program = directory / "apt-get"
    program.write_text(f"#!/bin/bash\n{text}\n")
    program.chmod(0o755)
    return f"PATH={directory}:$PATH\n" + script("packages", {"PATIENCE": "2"}).program + "\napt update"


def test_who_holds_the_lock_is_waited_for_and_then_named(tmp_path):
    held = "echo 'E: Could not get lock /var/lib/apt/lists/lock' >&2; exit 100"
    done = bash(stand_in(tmp_path, held))
    assert done.exited == packages.BUSY
    assert "has not ended within 2 s" in done.stderr
    once = bash(stand_in(tmp_path, f"[ ! -e {tmp_path}/again ] || exit 0; touch {tmp_path}/again; {held}"))
    assert once.exited == 0
    assert re.fullmatch(r"waited \d+ a program that cannot be told\n", once.stdout)
    other = bash(stand_in(tmp_path, "echo 'E: disk full' >&2; exit 100"))
    assert (other.exited, other.stdout) == (100, "")


def test_the_holder_is_found(tmp_path):
    """Of a locked file by the kernel's table, of a file with a number in it by that number."""
    look = script("packages", {"PATIENCE": "2"}).program + '\nholder "$0"'
    free, lock, number, stale = (tmp_path / name for name in ("free", "lock", "number", "stale"))
    free.touch()
    number.write_text(str(os.getpid()))
    stale.write_text("4194399")
    with lock.open("w") as opened:
        fcntl.lockf(opened, fcntl.LOCK_EX)
        said = {
            path.name: subprocess.run(["bash", "-c", look, path], capture_output=True, text=True, check=True).stdout
            for path in (free, lock, number, stale, tmp_path / "none")
        }
    me = f"{Path('/proc/self/comm').read_text().strip()} (process {os.getpid()})\n"
    assert said == {"free": "", "lock": me, "number": me, "stale": "", "none": ""}


# ---- the locks of dnf's versionlock plugin

DNF = """#!/bin/bash
while [[ $1 = -* ]]; do shift; done
echo "$*" >>{top}/asked
case "$1 $2" in
"--showduplicates list" | "list "*) printf '%s.x86_64 1.20.3-0 kubernetes\\n' kubeadm kubelet ;;
"versionlock delete") : >{top}/locks ;;
"versionlock add") echo kubelet-0:INSTALLED >>{top}/locks ;;
"install "*) [ ! -s {top}/locks ] || exit 1; exit {code} ;;
esac
"""


def pinned(top: Path, locks: str, code: int = 0, *, fetch: bool = False) -> tuple[int, list[str]]:
    """Run packages-pin.sh on a host with dnf only; return its exit status, and what dnf was asked for after the list."""
    for name in ("awk", "grep", "tail", "head", "paste", "cat", "sed", "stat", "mkdir", "chmod", "sleep", "bash", "rm"):
        (top / name).symlink_to(shutil.which(name) or name)
    (top / "dnf").write_text(DNF.format(top=top, code=code))
    (top / "dnf").chmod(0o755)
    (top / "rpm").write_text("#!/bin/bash\n")
    (top / "rpm").chmod(0o755)
    (top / "locks").write_text(locks)
    programs = ("kubeadm", "kubelet")
    command = prepare.fetch_packages("1.20.3", programs) if fetch else prepare.pin_packages("1.20.3", programs=programs)
    program = command.program.replace("/etc/dnf/plugins/versionlock.list", str(top / "locks"))
    program = program.replace("/var/lib/ha-runbooks", str(top / "lib"))
    done = bash(f"PATH={top}\nproxies=()\n{program}")
    asked = (top / "asked").read_text().splitlines()
    return done.exited, [" ".join(line.split()[:2]) for line in asked if "list" not in line]


@pytest.mark.parametrize("code", [0, 1])
@pytest.mark.parametrize("lock", ["kubelet-0:1.20.2-0.*", "0:kubeadm-1.20.2-0.*", 'name = "kubelet"'])
def test_locks_of_the_versionlock_plugin_are_lifted_and_back_also_after_a_failure(tmp_path, lock, code):
    exited, asked = pinned(tmp_path, f"# Added lock\n{lock}\n", code)
    assert exited == code
    assert (asked[0], asked[-1], len(asked)) == ("versionlock delete", "versionlock add", 3)
    assert asked[1].startswith("install")
    assert "INSTALLED" in (tmp_path / "locks").read_text()


def test_locks_are_back_after_a_download(tmp_path):
    exited, asked = pinned(tmp_path, "kubelet-0:1.20.2-0.*\n", fetch=True)
    assert (exited, asked[0], asked[-1]) == (0, "versionlock delete", "versionlock add")


def test_what_is_not_locked_is_not_unlocked(tmp_path):
    exited, asked = pinned(tmp_path, "kubelet-extras-0:1.0-0.*\n# kubelet\n", 1)
    assert exited == 1
    assert len(asked) == 1
