"""Sets of a real cluster: made, degraded, interrupted, refused; what is in them, and what is left on the hosts: nothing."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from runbooks.backup.sets import manifest as sets_manifest
from tests.support.operator import Operator
from tests.support.stock import CONFIG_MAPS, HOST_DIRECTORY, SECRETS, STOCK, WIDGETS
from tests.support.waiting import eventually

pytestmark = pytest.mark.lab

MASTERS = ("master1", "master2", "master3")
PARKED = "/etc/kubernetes/ha-runbooks-parked"
SSO = "/etc/ssl/certs/company-sso-ca.pem"
# As update-ca-certificates leaves a CA, as a link; a kubeconfig that only the admission configuration names; a directory of the operator's.
NAME_MORE = rf"""
set -e
mkdir -p {PARKED} /opt/admission/tls /srv/extra
install -m 640 -g 33 /etc/kubernetes/pki/ca.crt /usr/local/share/ca-certificates/company-sso.crt
ln -sf ../../../usr/local/share/ca-certificates/company-sso.crt {SSO}
printf '%s\n' 'kind: AdmissionConfiguration' 'plugins: [{{name: ImagePolicyWebhook, path: hook.yaml}}]' >/opt/admission/all.yaml
printf '%s\n' 'imagePolicy: {{kubeConfigFile: /etc/admission/hook.conf}}' >/opt/admission/hook.yaml
printf '%s\n' 'clusters: [{{cluster: {{certificate-authority: tls/ca.pem}}}}]' >/opt/admission/hook.conf
cp /etc/kubernetes/pki/ca.crt /opt/admission/tls/ca.pem
touch /srv/extra/a
ln -sfn /srv/extra /etc/kubernetes/extra
sed -e 's|^    - kube-apiserver$|&\n    - --oidc-ca-file={SSO}\n    - --admission-control-config-file=/etc/admission/all.yaml|' \
    -e 's|^    volumeMounts:$|&\n    - {{name: admission, mountPath: /etc/admission}}|' \
    -e 's|^  volumes:$|&\n  - {{name: admission, hostPath: {{path: /opt/admission}}}}|' \
    /etc/kubernetes/manifests/kube-apiserver.yaml >{PARKED}/kube-apiserver.yaml
"""
NAME_NO_MORE = (
    f"rm -rf {PARKED} {SSO} /usr/local/share/ca-certificates/company-sso.crt /opt/admission /srv/extra /etc/kubernetes/extra"
)


@pytest.fixture(scope="module", autouse=True)
def left_on(saved: Operator) -> Iterator[None]:
    """Whatever fails here, the next module finds a whole cluster. A parked manifest of master1 names more files than kubeadm's do."""
    saved.lab.console("master1", ["bash", "-c", NAME_MORE], check=True)
    yield
    saved.lab.on("lb2", *MASTERS)
    saved.lab.console("master1", ["bash", "-c", NAME_NO_MORE])
    saved.good("cluster.init", timeout_s=900)


def sets(operator: Operator) -> list[Path]:
    """Return what is listed: every name that is not hidden."""
    directory = operator.directory / "sets"
    return sorted(path for path in directory.iterdir() if not path.name.startswith(".")) if directory.exists() else []


def hidden(operator: Operator) -> list[str]:
    return sorted(path.name for path in (operator.directory / "sets").glob(".making-*"))


def manifest(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((path / "manifest.json").read_text())["manifest"]
    return found


def on_host(operator: Operator, host: str) -> str:
    """Return what a backup has left on a host."""
    return operator.lab.console(host, ["find", HOST_DIRECTORY, "-mindepth", "1"]).stdout


def read(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a list file, with nothing but the standard library: pages, one JSON document a line."""
    with gzip.open(path, "rt") as file:
        return [each for line in file for each in json.loads(line)["items"] or ()]


def test_a_plan_touches_nothing(saved: Operator) -> None:
    assert "nothing was touched" in saved.good("backup.run", "--plan")
    assert not (saved.directory / "sets").exists()


def test_a_set_holds_everything(saved: Operator) -> None:
    said = saved.good("backup.run")
    assert "3 of 3 snapshots" in said.splitlines()[-1]
    (path,) = sets(saved)
    made = manifest(path)
    assert (made["state"], made["missing"], made["site"]) == ("good", [], "ha-cluster")
    assert {each["host"] for each in made["snapshots"]} == set(MASTERS)
    assert all(each["live_keys"] > CONFIG_MAPS + SECRETS + WIDGETS for each in made["snapshots"])
    assert {each["name"] for each in made["etcd"]["members"]} == set(MASTERS)
    maps = [each for each in read(path / "resources/configmaps.json.gz") if each["metadata"]["namespace"] == STOCK]
    assert {each["metadata"]["name"]: each["data"]["number"] for each in maps if "number" in each["data"]} == {
        f"configmap-{number:04}": str(number) for number in range(CONFIG_MAPS)
    }
    assert made["kinds"]["widgets.stock.example"]["objects"] == WIDGETS
    assert made["kinds"]["secrets"]["objects"] == len(read(path / "resources/secrets.json.gz")) >= SECRETS
    keys = json.loads((path / made["snapshots"][0]["keys_file"]).read_text())
    assert keys["counts"]["/registry/stock.example/widgets/"] == WIDGETS
    assert json.loads((path / "kubeadm-config.json").read_text())["metadata"]["name"] == "kubeadm-config"


def test_configurations_keep_their_owners_and_modes(saved: Operator) -> None:
    (path,) = sets(saved)
    with tarfile.open(path / "hosts/master1.tar.gz") as archive:
        key = archive.getmember("etc/kubernetes/pki/ca.key")
        assert (key.mode, key.uid) == (0o600, 0)
        names = set(archive.getnames())
    assert {
        "etc/kubernetes/pki/etcd/ca.key",
        "etc/kubernetes/pki/sa.key",
        "etc/kubernetes/manifests/etcd.yaml",
        "etc/kubernetes/admin.conf",
        "var/lib/kubelet/config.yaml",
    } <= names
    for lb in ("lb1", "lb2"):
        with tarfile.open(path / f"hosts/{lb}.tar.gz") as archive:
            assert {"etc/haproxy/haproxy.cfg", "etc/keepalived/keepalived.conf"} <= set(archive.getnames())


def test_a_set_holds_what_the_control_plane_names(saved: Operator) -> None:
    """Through a link, a volume at another path, and three configuration files; nothing of what kubeadm mounts is saved whole."""
    (path,) = sets(saved)
    with tarfile.open(path / "hosts/master1.tar.gz") as archive:
        ca = archive.getmember(SSO.lstrip("/"))
        assert (ca.isreg(), ca.mode, ca.gid) == (True, 0o640, 33)
        names = {each.name for each in archive.getmembers() if each.isreg()}
    assert {"opt/admission/all.yaml", "opt/admission/hook.conf", "opt/admission/tls/ca.pem", "etc/kubernetes/extra/a"} <= names
    assert [name for name in names if name.startswith(("etc/ssl", "usr/share", "usr/local", "var/lib/etcd"))] == [ca.name]


def test_nobody_else_may_look_and_nothing_is_left(saved: Operator) -> None:
    (path,) = sets(saved)
    for each in (path.parent, path, *path.rglob("*")):
        assert each.stat().st_mode & 0o077 == 0, each
    assert [on_host(saved, host) for host in (*MASTERS, "lb1", "lb2")] == [""] * 5
    assert hidden(saved) == []
    secret = "swordfish-7"
    texts = [*saved.directory.glob(".runbooks/**/*.jsonl")]
    assert texts
    assert not any(secret in each.read_text() for each in texts)


def test_a_named_file_is_not_there(saved: Operator) -> None:
    """The API server would not start from such a set: it is degraded, and says which file."""
    saved.lab.console("master1", ["rm", SSO], check=True)
    done = saved.inv("backup.run")
    saved.lab.console("master1", ["bash", "-c", NAME_NO_MORE], check=True)
    assert done.returncode == 5, done.stdout + done.stderr
    assert f"master1: {SSO}: there is no such file, but kube-apiserver --oidc-ca-file names it" in done.stderr
    assert (manifest(sets(saved)[-1])["state"], len(manifest(sets(saved)[-1])["missing"])) == ("degraded", 1)


def test_two_at_once(saved: Operator) -> None:
    """The first is held on its way, with its lock; the second leaves at once."""
    before = sets(saved)
    first = saved.start("backup.run")
    eventually(lambda: len(hidden(saved)), 1)
    os.kill(first.pid, signal.SIGSTOP)
    try:
        second = saved.inv("backup.run")
    finally:
        os.kill(first.pid, signal.SIGCONT)
    assert second.returncode == 3
    assert f"(pid {first.pid}) has been running inv backup.run since" in second.stderr
    saved.words(first)
    assert first.returncode == 0
    assert len(sets(saved)) == len(before) + 1


@pytest.mark.parametrize("number", [1, *(pytest.param(each, marks=pytest.mark.long) for each in (2, 4, 10, 11)), 7, 12])
def test_killed_at_any_moment(saved: Operator, number: int) -> None:
    """No half set is ever listed, the hosts tidy up by themselves, and the next run clears what is left here."""
    before = sets(saved)
    assert saved.strike(number, signal.SIGKILL, "backup.run") == -signal.SIGKILL
    assert set(sets(saved)) - set(before) <= {path for path in sets(saved) if (path / "manifest.json").exists()}
    assert len(hidden(saved)) <= 1
    for host in (*MASTERS, "lb1", "lb2"):
        eventually(lambda host=host: on_host(saved, host), "")


def test_the_next_run_clears_what_is_left(saved: Operator) -> None:
    assert saved.strike(5, signal.SIGKILL, "backup.run") == -signal.SIGKILL
    assert len(hidden(saved)) == 1
    saved.lab.console("master2", ["install", "-d", "-m", "700", f"{HOST_DIRECTORY}/run.dead"], check=True)  # its host lost power
    saved.good("backup.run")
    assert hidden(saved) == []
    assert on_host(saved, "master2") == ""


def test_an_interruption_leaves_nothing(saved: Operator) -> None:
    before = sets(saved)
    assert saved.strike(5, signal.SIGTERM, "backup.run") == 130
    assert (sets(saved), hidden(saved)) == (before, [])
    for host in MASTERS:
        eventually(lambda host=host: on_host(saved, host), "")


def small(operator: Operator, host: str, megabytes: int) -> None:
    operator.lab.console(host, ["mkdir", "-p", HOST_DIRECTORY], check=True)
    operator.lab.console(host, ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", HOST_DIRECTORY], check=True)


def test_a_full_disk_on_a_host(saved: Operator) -> None:
    """What the others have is saved; what is missing is named, with the reason."""
    small(saved, "master2", 8)
    try:
        done = saved.inv("backup.run")
    finally:
        saved.lab.console("master2", ["umount", HOST_DIRECTORY], check=True)
    assert done.returncode == 5
    assert "2 of 3 snapshots" in done.stdout
    assert re.search(
        rf"master2: etcd: only \d MiB are free in {HOST_DIRECTORY}; a snapshot and its proof need \d+ MiB", done.stderr
    )
    made = manifest(sets(saved)[-1])
    assert (made["state"], [each["what"] for each in made["missing"]]) == ("degraded", ["master2: etcd"])
    assert "hosts/master2.tar.gz" in made["files"]


def test_objects_that_may_not_be_listed_are_one_line(saved: Operator) -> None:
    """As with an administrator whose rights are gone: the user of admin.conf is a kubelet, which may list a few kinds."""
    conf = "/etc/kubernetes/admin.conf"
    saved.lab.console(
        "master3", ["bash", "-c", f"cp -a {conf} {conf}.kept && cp /etc/kubernetes/kubelet.conf {conf}"], check=True
    )
    try:
        done = saved.inv("backup.run")
    finally:
        saved.lab.console("master3", ["mv", f"{conf}.kept", conf], check=True)
    cause = 'on master3, the API server does not let the user "system:node:master3" list them (HTTP 403 Forbidden)'
    assert done.returncode == 5
    assert "the set holds" in next(line for line in done.stderr.splitlines() if "it lacks objects: " in line)
    assert (done.stderr.count(cause), done.stderr.count("resources/")) == (1, 0)
    made = manifest(sets(saved)[-1])
    assert [each["what"] for each in made["missing"]] == ["objects"]  # kubelets may read kubeadm-config
    assert cause in saved.good("backup.show").splitlines()[0]
    assert cause in saved.trouble("backup.extract", "--kind", "secrets")


def fill(directory: Path, leaving: int) -> Path:
    """Take the room of a disk but for ``leaving`` bytes."""
    room = os.statvfs(directory)
    ballast = directory / ".ballast"
    with ballast.open("wb") as file:
        for _ in range((room.f_bavail * room.f_frsize - leaving) >> 20):
            file.write(b"x" * (1 << 20))
        if not leaving:
            with suppress(OSError):
                file.write(b"x" * (1 << 20))
    return ballast


@pytest.mark.long
def test_a_full_disk_of_the_operator(saved: Operator, tmp_path: Path) -> None:
    """Said before anything is begun; and when it fills up on the way, the sets of before are as they were."""
    disk = tmp_path / "sets"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2g,mode=700", "tmpfs", disk], check=True)
    try:
        other = Operator(saved.lab, tmp_path)
        other.site.write_text(saved.site.read_text().replace(str(saved.directory / "sets"), str(disk)))
        other.good("backup.run")
        (first,) = sets(other)
        digest = {path: path.read_bytes() for path in first.rglob("*") if path.is_file()}
        ballast = fill(disk, 30 << 20)
        done = other.inv("backup.run")
        assert (done.returncode, "are free, but this set may take" in done.stderr) == (3, True)
        ballast.unlink()
        running = other.start("backup.run")
        eventually(lambda: len(hidden(other)), 1)
        os.kill(running.pid, signal.SIGSTOP)
        ballast = fill(disk, 0)
        os.kill(running.pid, signal.SIGCONT)
        running.wait(timeout=120)
        ballast.unlink()
        assert running.returncode == 1
        assert "No space left on device" in other.words(running)
        assert (sets(other), hidden(other)) == ([first], [])
        assert {path: path.read_bytes() for path in first.rglob("*") if path.is_file()} == digest
        for host in MASTERS:
            eventually(lambda host=host: on_host(saved, host), "")
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_a_member_and_a_load_balancer_are_off(saved: Operator) -> None:
    saved.lab.off("master1", "lb2")
    try:
        done = saved.inv("backup.run", timeout_s=300)
    finally:
        saved.lab.on("master1", "lb2")
    assert done.returncode == 5
    assert "degraded" in done.stdout
    assert "2 of 3 snapshots" in done.stdout
    for what in ("master1: etcd:", "master1: files:", "lb2: files:"):
        assert what in done.stderr
    made = manifest(sets(saved)[-1])
    assert made["state"] == "degraded"
    assert made["kinds"]["configmaps"]["objects"] >= CONFIG_MAPS
    assert {"hosts/lb1.tar.gz", "hosts/master2.tar.gz", "etcd/master3.db"} <= set(made["files"])
    saved.verified()  # they are back


@pytest.mark.long
def test_no_etcd_no_set(saved: Operator) -> None:
    before = sets(saved)
    saved.lab.off(*MASTERS)
    try:
        done = saved.inv("backup.run", timeout_s=300)
    finally:
        saved.lab.on(*MASTERS)
    assert (done.returncode, sets(saved)) == (4, before)
    assert "no member of etcd answers: there is nothing to make a backup of" in done.stderr
    saved.verified()


@pytest.mark.long
def test_older_than_the_last_set(saved: Operator) -> None:
    """Somebody has restored an old state: that must not pass for progress, nor push the newer sets out."""
    last = sets(saved)[-1]
    content = (last / "manifest.json").read_bytes()
    made = sets_manifest.read(content, "the last set")
    ahead = msgspec.structs.replace(made, etcd=msgspec.structs.replace(made.etcd, revision=made.etcd.revision + 1_000_000))
    (last / "manifest.json").write_bytes(sets_manifest.write(ahead))
    before = sets(saved)
    try:
        eventually(lambda: saved.inv("etcd.status").returncode, 0)
        done = saved.inv("backup.run")
        assert (done.returncode, sets(saved)) == (1, before)
        assert "is older than" in done.stderr
        assert "--accept-older" in done.stderr
        assert hidden(saved) == []
        saved.good("backup.run", "--accept-older")
    finally:
        (last / "manifest.json").write_bytes(content)


def test_encrypted_to_age(saved: Operator, tmp_path: Path) -> None:
    """No plaintext is ever written here, and age alone opens what is."""
    subprocess.run(["age-keygen", "-o", tmp_path / "key"], check=True, capture_output=True)
    recipient = (tmp_path / "key").read_text().partition("public key: ")[2].split()[0]
    other = Operator(saved.lab, tmp_path)
    other.edit(
        lambda site: site.update(
            backup={"directory": str(tmp_path / "sets"), "host_directory": HOST_DIRECTORY, "age": {"recipients": [recipient]}}
        )
    )
    other.good("backup.run")
    (path,) = sets(other)
    made = manifest(path)
    assert made["encrypted_to"] == [recipient]
    names = [each for each in path.rglob("*") if each.is_file() and each.name != "manifest.json"]
    assert names
    assert all(each.suffix == ".age" and each.read_bytes().startswith(b"age-encryption.org/") for each in names)
    opened = subprocess.run(
        ["age", "--decrypt", "-i", tmp_path / "key", path / "resources/secrets.json.gz.age"], check=True, capture_output=True
    )
    assert b"secret-0199" in gzip.decompress(opened.stdout)
