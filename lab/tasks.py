"""A twin of hosts.yaml on this machine: real hosts in an isolated network. RUNBOOKS_LAB names one of several labs."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from invoke.context import Context
from invoke.exceptions import Exit

from runbooks.engine.tasks import remainder, runbook

if TYPE_CHECKING:
    from lab.control import Lab

HOST = {"host": "its name; several with commas"}


def lab() -> Lab:
    """Return the lab that RUNBOOKS_LAB names; it prints what it does."""
    from lab.control import Lab  # noqa: PLC0415 - listing the commands must not load the lab
    from lab.names import current  # noqa: PLC0415

    return Lab(current().name, say=lambda text: print(text, flush=True))


def split(text: str) -> list[str]:
    """Return the words of a comma list."""
    return [word.strip() for word in text.split(",") if word.strip()]


@runbook(
    iterable=["upgrade"],
    help={
        "hosts": "only these, with commas; default: all of the site",
        "site": "the site file to copy",
        "kubernetes": "a release to fetch, such as 1.36.2; a directory with programs: kubeadm, kubelet, kubectl, kube-*, etcd etc.; or debian",
        "upgrade": "with --kubernetes: the version to upgrade to, likewise; several with commas, or the flag again",
        "etcd": "Debian's etcd 3.5 or 3.4 in the hosts' images; default: what fits",
        "containerd": "a newer Debian's containerd for the hosts: 1.7 or 2",
        "mirror": "address of a copy of the releases, instead of the official places",
        "no-kubernetes": "without packages and images of Kubernetes",
        "from_": "boot all hosts of a save instead (inv lab.saved)",
    },
)
def up(  # noqa: PLR0913, PLR0917 - flags
    _: Context,
    hosts: str = "",
    site: str = "",
    kubernetes: str = "",
    upgrade: list[str] | None = None,
    etcd: str = "",
    containerd: str = "",
    mirror: str = "",
    no_kubernetes: bool = False,
    from_: str = "",
) -> None:
    """Boot the site's hosts, or repair the lab.

    The first time, the base tree and Kubernetes are built from this machine's APT sources. `inv lab.down` removes everything.
    """
    from lab.kube_choice import Flags, chosen  # noqa: PLC0415
    from lab.machine import require  # noqa: PLC0415
    from lab.status import closing  # noqa: PLC0415
    from lab.twin import chosen as hosts_of  # noqa: PLC0415
    from lab.twin import read  # noqa: PLC0415

    twin = lab()
    require()
    source = Path(site) if site else Path(__file__).parent.parent / "hosts.yaml"
    if from_:
        refuse_beside_from(hosts, kubernetes, upgrade, etcd, containerd, mirror, no_kubernetes)
        twin.up_from(from_, source)
        print(closing(twin))
        return
    hosts_of(read(source), split(hosts))  # refuses what is wrong before anything is fetched
    ups = tuple(word for text in upgrade or () for word in split(text))
    flags = Flags(kubernetes=kubernetes, upgrade=ups, etcd=etcd, containerd=containerd, mirror=mirror, without=no_kubernetes)
    wanted = chosen(flags, twin.say)
    twin.up(source, split(hosts), wanted)
    print(closing(twin))


def refuse_beside_from(*given: object) -> None:
    """Raise Exit when a flag is given that a save decides."""
    if any(given):
        raise Exit("error: with --from only --site can be given: the hosts and their Kubernetes are those of the save", code=2)


@runbook(positional=["name"], help={"name": "what to call it"})
def save(_: Context, name: str) -> None:
    """Keep the lab as it is now, to boot it again.

    inv lab.up --from NAME does that. Its hosts stand still for some seconds. A save of that name is replaced.
    """
    lab().save(name)
    print(
        f"\n`inv lab.up --from {name}` boots it again; another lab beside this one: RUNBOOKS_LAB=second inv lab.up --from {name}"
    )


@runbook()
def saved(_: Context) -> None:
    """List the saves: site, versions, age, size."""
    from lab.machine import require  # noqa: PLC0415
    from lab.saves import all_of, text  # noqa: PLC0415
    from lab.tree import wanted_name  # noqa: PLC0415

    require()  # only root may look into them
    print(text(all_of(), wanted_name()))


@runbook(positional=["name"], help={"name": "which save"})
def forget(_: Context, name: str) -> None:
    """Remove a save."""
    from lab.machine import require  # noqa: PLC0415
    from lab.saves import forget as remove  # noqa: PLC0415

    require()
    remove(name, lambda said: print(said, flush=True))


@runbook()
def status(_: Context) -> None:
    """Show hosts, power, network, SSH and isolation."""
    from lab.status import look, text  # noqa: PLC0415

    found = look(lab())
    print(text(found))
    if not found.good:
        raise Exit(code=1)


@runbook()
def down(_: Context) -> None:
    """Remove the lab and its disks.

    Also works after a crash.
    """
    lab().down()


@runbook(help={"host": "default: the lab's namespace, with this machine's programs"})
def shell(_: Context, host: str = "") -> None:
    """Open a shell on a host, or in the lab's namespace."""
    from lab.login import ssh  # noqa: PLC0415

    twin = lab()
    argv = ssh(twin.instance, host, "-t") if host else twin.in_namespace(["bash", "-i"])
    finish(argv)


@runbook(name="exec", help={"host": "default: the lab's namespace, with this machine's programs"})
def execute(_: Context, host: str = "") -> None:
    """Run the words after -- as root in the lab."""
    from lab.login import as_root, ssh  # noqa: PLC0415

    twin, words = lab(), remainder()
    if not words:
        raise Exit("error: lab.exec needs a command after --", code=2)
    finish([*ssh(twin.instance, host), as_root(words)] if host else twin.in_namespace(words))


@runbook(help=HOST)
def off(_: Context, host: str) -> None:
    """Cut a host's power. Its disk stays."""
    lab().off(*split(host))


@runbook(help=HOST)
def on(_: Context, host: str) -> None:
    """Boot a host from its disk."""
    lab().on(*split(host))


@runbook(help=HOST)
def cut(_: Context, host: str) -> None:
    """Pull a host's network cable."""
    lab().cut(*split(host))


@runbook(help=HOST)
def heal(_: Context, host: str) -> None:
    """Put a host's network cable back in."""
    lab().heal(*split(host))


@runbook(help={**HOST, "trust": "pin the new host key; --no-trust keeps the old one, as in production"})
def reset(_: Context, host: str, trust: bool = True) -> None:
    """Reinstall a host: empty disk, new host key."""
    lab().reset(*split(host), trust=trust)


@runbook(help={"host": "its name; several with commas; default: all control plane hosts"})
def etcd_disk(_: Context, host: str = "") -> None:
    """Put etcd's data on the machine's disk.

    It is in memory otherwise, which cannot be made slow (inv drill.slow-disk). The hosts lose their power and are booted again.
    """
    from lab.etcd_disk import move  # noqa: PLC0415

    move(lab(), *split(host))


def finish(argv: list[str]) -> None:
    """Run ``argv`` on this terminal and end with its exit status."""
    code = subprocess.run(argv, check=False).returncode
    if code:
        raise Exit(code=code if code > 0 else 128 - code)
