"""Steps that bring all packages and images of the target to every host, before anything is taken out of service."""

from __future__ import annotations

from collections.abc import Sequence

from runbooks.cluster.files import wanted_images
from runbooks.commands import kubeadm, prepare, upgrade_kubeadm, upgrade_packages
from runbooks.engine.by_hand import by_hand
from runbooks.engine.packages import install
from runbooks.engine.steps import Run, Step, Together, Unmet
from runbooks.inventory.model import Host
from runbooks.rules.upgrade_seen import text
from runbooks.upgrade.context import Upgrade
from runbooks.upgrade.packages import install_held, switch_repositories
from runbooks.upgrade.rules import packages as rules
from runbooks.upgrade.rules import schedule

KUBELET = ("kubelet", "kubectl")


def steps(upgrade: Upgrade, hosts: Sequence[Host]) -> list[Together]:
    """Return the steps for ``hosts``, all at the same time."""
    return [
        Together(tuple(repositories(upgrade, host) for host in hosts)),
        Together(tuple(kubeadm_package(upgrade, host) for host in hosts)),
        Together(tuple(fetch(upgrade, host) for host in hosts)),
    ]


def repositories(upgrade: Upgrade, host: Host) -> Step:
    """Switch the host's repositories that have one minor version each, as those of the community, to the target's minor version."""
    return Step(
        "switch the package repositories",
        host,
        done=lambda run: not rules.switch(run.read(host, upgrade_packages.sources()), upgrade.to),
        do=lambda run: switch_repositories(run, host, upgrade.to),
        by_hand=by_hand("upgrade", "repositories", host=host, minor=f"{upgrade.to[0]}.{upgrade.to[1]}"),
    )


def kubeadm_package(upgrade: Upgrade, host: Host) -> Step:
    """Install kubeadm of the target: it changes nothing before it is run, and knows which images are needed."""
    return Step(
        schedule.FIRST_PACKAGES,
        host,
        done=lambda run: (
            upgrade.node(run, host).kubeadm == upgrade.to
            or Unmet(f"kubeadm {text(upgrade.node(run, host).kubeadm)} is installed")
        ),
        do=lambda run: install_held(run, host, upgrade.to, ["kubeadm"]),
        by_hand=by_hand("upgrade", "packages", host=host, programs=["kubeadm"], version=upgrade.version),
    )


def fetch(upgrade: Upgrade, host: Host) -> Step:
    """Fetch the other packages and all images, so that nothing is waited for, or found missing, while a host is out of service."""

    def done(run: Run) -> bool | Unmet:
        if lacking := missing_images(upgrade, run, host):
            return Unmet(f"{len(lacking)} images are not there yet")
        return True if _has_packages(upgrade, run, host) else Unmet("its packages are not there yet")

    def do(run: Run) -> None:
        if run.plan and upgrade.node(run, host).kubeadm != upgrade.to:
            run.change(host, prepare.pull_images(("those of `kubeadm config images list`",)))
        elif lacking := missing_images(upgrade, run, host):
            run.change(host, prepare.pull_images(lacking))
        if not _has_packages(upgrade, run, host):
            install(run, host, prepare.fetch_packages(upgrade.version, KUBELET))

    return Step(
        schedule.FETCH,
        host,
        done=done,
        do=do,
        by_hand=by_hand("upgrade", "fetch", host=host, version=upgrade.version),
    )


def missing_images(upgrade: Upgrade, run: Run, host: Host) -> tuple[str, ...]:
    """Return the images of the target that ``host`` needs and does not have."""
    listed = run.read(host, kubeadm.images(upgrade.version, upgrade.site.kubernetes.image_repository))
    return run.read(host, prepare.missing_images(wanted_images(upgrade.site, host, listed)))


def _has_packages(upgrade: Upgrade, run: Run, host: Host) -> bool:
    fetched = run.read(host, upgrade_kubeadm.look()).fetched == upgrade.version
    return fetched or upgrade.node(run, host).kubelet == upgrade.to
