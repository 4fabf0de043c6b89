"""What a person does instead of the steps of a backup."""

from __future__ import annotations

from pathlib import Path

from runbooks.backup_store import LEAVING, MAKING
from runbooks.by_hand import shell
from runbooks.commands.backup import CONTROL_PLANE_FILES, LB_FILES
from runbooks.inventory.model import Host

TOOLS = "/proc/$(pgrep -x etcd | head -n 1)/root/usr/local/bin"
PKI = "/etc/kubernetes/pki/etcd"
FLAGS = f"--endpoints=https://127.0.0.1:2379 --cacert={PKI}/ca.crt --cert={PKI}/server.crt --key={PKI}/server.key"


def clear(directory: Path) -> str:
    """What killed runs left."""
    return (
        "On the machine that keeps the sets, when no backup is under way (`inv backup.list` or `fuser` on "
        f"`{directory}/.lock`): `rm -rf {directory}/{MAKING}* {directory}/{LEAVING}*`.\nDone when `ls -A {directory}` shows neither."
    )


def survey(base: str) -> str:
    """Who is there, and how much."""
    lines = ("etcdctl endpoint status --cluster -w table", "kubectl api-resources --verbs=list -o name | wc -l", "df -h /var/lib")
    return (
        f"On a control plane host:{shell(*lines)}Go on when at least one member answers. Each host needs twice DB SIZE free below `{base}`, "
        "the machine that keeps the sets as much for each member."
    )


def begin(directory: Path) -> str:
    """A directory that nobody lists."""
    return (
        f"On the machine that keeps the sets; everything there is as secret as the cluster's administrator's key:"
        f"{shell('umask 077; id=$(date -u +%Y%m%dT%H%M%SZ)', f'mkdir -p {directory}/{MAKING}$id/etcd {directory}/{MAKING}$id/hosts {directory}/{MAKING}$id/resources')}"
    )


def snapshot(host: Host, base: str, directory: Path) -> str:
    """One member's snapshot, proven."""
    file = f"{base}/{host}.db"
    lines = (
        f"umask 077; mkdir -p {base}; t={TOOLS}",
        f"ETCDCTL_API=3 $t/etcdctl {FLAGS} snapshot save {file}",
        f"$t/etcdutl snapshot status {file} -w table",
        f"$t/etcdutl snapshot restore {file} --data-dir {base}/scratch && rm -rf {base}/scratch",
    )
    return (
        f"On {host} (etcd 3.4 has no etcdutl: `$t/etcdctl` does that, too). A host that is off is left out.{shell(*lines)}"
        f"All three must succeed; then move {file} to etcd/{host}.db of the new set in {directory} (`scp -p`), and delete it on the host."
    )


def objects(directory: Path) -> str:
    """All objects of all kinds."""
    lines = (
        "set -o pipefail; umask 077; mkdir -p /root/resources",
        "for k in $(kubectl api-resources --verbs=list -o name | sort -u); do",
        "  kubectl get $k -A -o json | gzip >/root/resources/$k.json.gz || echo $k is missing; done",
    )
    return (
        f"On one control plane host:{shell(*lines)}Done when nothing is missing; then move /root/resources to resources of the new set in "
        f"{directory}, and delete it on the host: it holds every Secret."
    )


def files(host: Host, base: str, directory: Path) -> str:
    """What a snapshot has nothing of."""
    wanted = [*(CONTROL_PLANE_FILES if host.is_control_plane else ()), *(LB_FILES if host.is_lb else ())]
    file = f"{base}/{host}.tar.gz"
    paths = " ".join(path.lstrip("/") for path in wanted)
    return (
        f"On {host}; paths that are not there do not matter:"
        f"{shell(f'umask 077; mkdir -p {base}; tar -C / --ignore-failed-read -czf {file} {paths}')}"
        f"Then move {file} to hosts/{host}.tar.gz of the new set in {directory}."
    )


def judge() -> str:
    """Which snapshots count."""
    return (
        "Compare what `etcdutl snapshot status` said (REVISION, TOTAL KEYS): the members differ by little. A snapshot whose revision is lower "
        "than in the last set, or of a member that was not healthy, is taken out: it would pass for a newer one. At least one has to stay."
    )


def publish(directory: Path) -> str:
    """From here on it counts."""
    return (
        f"In `{directory}`: `(cd {MAKING}$id && find . -type f -exec sha256sum {{}} +) >/root/sums && mv /root/sums {MAKING}$id/SHA256SUMS`, then "
        f"`sync; mv {MAKING}$id $id`. (A set without the tool's manifest.json is not listed by `inv backup.list`; `etcdutl` reads its "
        "snapshots all the same.)"
    )


def keep_tools(directory: Path) -> str:
    """One day no host answers any more."""
    return (
        f"Once for each version of etcd: copy etcd, etcdctl and etcdutl from `{TOOLS}` of a control plane host to `{directory}/.tools/etcd-VERSION/` "
        "after `sha256sum` has shown that two hosts have the same."
    )


def unwanted(directory: Path) -> str:
    """Deleting old sets."""
    return (
        f"In `{directory}`: keep the newest sets and those of days, weeks and months that backup.keep of hosts.yaml names, and always the newest "
        "good one; of the others, `rm -rf ID`, one by one."
    )


def delete(directory: Path, name: str) -> str:
    """Deleting one set."""
    return f"On the machine that keeps the sets: `rm -rf {directory}/{name}`. Never the newest good one: a restore would need it."


def make_repository(repository: str) -> str:
    """A new repository."""
    return (
        f"Only when it is not there: `restic -r {repository} --password-file FILE cat config` fails although the disk or the server is there. "
        f"Then `restic -r {repository} --password-file FILE init`. Without the password nothing in it can be read ever again: keep it elsewhere, too."
    )


def copy_offsite(repository: str, directory: Path) -> str:
    """Copies of what is not there yet."""
    lines = (
        f"cd {directory}; export RESTIC_REPOSITORY={repository} RESTIC_PASSWORD_FILE=FILE",
        "restic snapshots --tag ha-runbooks",
        "restic backup --force --tag ha-runbooks,set=ID ID .tools && restic check",
    )
    return f"On the machine that keeps the sets, for each ID that is not listed:{shell(*lines)}Done when `restic ls latest` lists every file."


def forget_offsite(repository: str) -> str:
    """Give up old copies."""
    return (
        f"Only what is not here any more either and what backup.keep no longer names: `restic -r {repository} --password-file FILE snapshots "
        "--tag ha-runbooks`, then `restic forget --prune SNAPSHOT` for each."
    )


def fits(directory: Path, name: str) -> str:
    """Is there room, and is it not here already."""
    return (
        f"`ls {directory}/{name}` finds nothing (if it does, and its files are what they were, there is nothing to fetch), and `df -h "
        f"{directory}` shows room for it."
    )


def restore_offsite(repository: str, snapshot: str, beside: Path) -> str:
    """Bring it back beside the sets."""
    return (
        "On the machine that keeps the sets (a new one needs restic and the password):"
        f"{shell('umask 077', f'restic -r {repository} --password-file FILE snapshots --tag ha-runbooks', f'restic -r {repository} --password-file FILE restore {snapshot} --target {beside}')}"
        "The tag `set=` names the set that a snapshot holds."
    )


def appear(directory: Path, beside: Path, name: str) -> str:
    """Prove every file first."""
    lines = (
        f"cd {beside}/{name}",
        'python3 -c \'import json; [print(f["sha256"], n, sep="  ") for n, f in json.load(open("manifest.json"))["files"].items()]\' | sha256sum -c',
        f"mv {beside}/{name} {directory}/{name}",
    )
    return f"Every file has to be what the manifest says; only then:{shell(*lines)}etcd's own programs came along in {beside}/.tools."
