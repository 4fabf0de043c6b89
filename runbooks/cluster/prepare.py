"""The procedure of `inv cluster.prepare`: kernel, packages, containerd, images.

On a host that is in the cluster only what is harmless there is done again: sysctls, modules, held packages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from runbooks import baseline
from runbooks.cluster import patches, runtime
from runbooks.cluster.files import node_files, pause_image, wanted_images
from runbooks.commands import containerd, files, kubeadm, node, prepare, runtime_files, setup_look
from runbooks.commands.base import Probe, Secret
from runbooks.commands.files import File, Found
from runbooks.engine.by_hand import by_hand
from runbooks.engine.packages import install
from runbooks.engine.steps import Procedure, Run, Step, Together, Unmet
from runbooks.errors import PrecheckError
from runbooks.inventory.model import Host, Site
from runbooks.local import registry_logins
from runbooks.rules import cluster as rules
from runbooks.rules import host_patches, host_setup, kubeadm_checks, runtime_limits
from runbooks.rules.baseline_files import Part
from runbooks.rules.kubeadm import CRI_SOCKET, minor_of

UNKNOWN_PAUSE = "the pause image of that kubeadm"  # only shown by --plan, before kubeadm is installed


def prepare_procedure(site: Site, hosts: Sequence[Host], left: Mapping[Host, Sequence[Part]] | None = None) -> Procedure:
    """Return the procedure that makes ``hosts`` ready for kubeadm. ``left``: as `baseline.steps` takes it."""
    title = f"Prepare the hosts of {site.name} for Kubernetes {site.kubernetes.version}"
    return Procedure("cluster.prepare", title, steps(site, hosts, left))


def steps(site: Site, hosts: Sequence[Host], left: Mapping[Host, Sequence[Part]] | None = None) -> list[Step | Together]:
    """Return the steps, each of them on all ``hosts`` in parallel. Patches for kubeadm only where hosts.yaml has some.

    The baseline comes first: names of a registry may be in it. ``left``: as `baseline.steps` takes it.
    """
    builders = (ready_kernel, install_packages, run_containerd, pull_images)
    patched = [host for host in hosts if host_patches.given(site, host)]
    return [
        *(_on_new(each) for each in baseline.steps(site, hosts, left)),
        *(Together(tuple(build(site, host) for host in hosts)) for build in builders),
        *([Together(tuple(patches.ready(site, host) for host in patched))] if patched else []),
    ]


def _on_new(item: Step | Together) -> Step | Together:
    """Return the steps of the baseline for hosts that are in no cluster yet: `inv cluster.reconfigure` changes members, one after the other."""
    if isinstance(item, Together):
        return Together(tuple(_new_only(each) for each in item.steps))
    return _new_only(item)


def _new_only(step: Step) -> Step:
    host = step.host
    assert host  # noqa: S101 - for the type checker

    def check(run: Run) -> None:
        if not _member(run, host):
            if step.check:
                step.check(run)
        elif step.done and (met := step.done(run)) is not True:
            why = met.seen if isinstance(met, Unmet) else "not as hosts.yaml says"
            run.note(host, f"{why}: left as it is, since the host is in the cluster; inv cluster.reconfigure --only hosts")

    def done(run: Run) -> bool | Unmet:
        return _member(run, host) or (step.done(run) if step.done else True)

    return replace(step, check=check, done=done)


def ready_kernel(site: Site, host: Host) -> Step:
    """Return the step for kernel modules, sysctls and swap.

    Invariant: on a host that is in the cluster it loads modules and sets sysctls, now and at boot, but switches no swap off: that may
    end pods. What it leaves is noted.
    https://kubernetes.io/docs/setup/production-environment/container-runtimes/
    """
    wanted = _files(site, host, kernel=True)
    keep_swap = site.kubernetes.swap == "keep"

    def done(run: Run) -> bool | Unmet:
        seen = run.read(host, setup_look.look(site))
        reason = host_setup.not_ready(seen, swap=site.kubernetes.swap, member=_member(run, host))
        if reason:
            return Unmet(reason)
        return not files.differing(wanted, run.read(host, kernel_look(site, host)))

    def do(run: Run) -> None:
        swap = "keep" if _member(run, host) else site.kubernetes.swap
        _place(run, host, wanted)
        run.change(host, prepare.make_kernel_ready(swap))

    return Step(
        "kernel modules and sysctls" + ("" if keep_swap else ", no swap"),
        host,
        check=lambda run: _tell_what_is_left(run, host),
        done=done,
        do=do,
        within=10,
        settled=True,
        by_hand=by_hand(
            "cluster",
            "ready_kernel",
            host=host,
            files=wanted,
            modules=setup_look.MODULES,
            sysctl_file=setup_look.SYSCTL_FILE,
            keep_swap=keep_swap,
        ),
    )


def kernel_look(site: Site, host: Host) -> Probe[dict[str, Found]]:
    """Read the files that `ready_kernel` places."""
    return files.found(file.path for file in _files(site, host, kernel=True))


def install_packages(site: Site, host: Host) -> Step:
    """Return the step that installs and holds the version of hosts.yaml, and the programs that its kubeadm asks for.

    Raises PrecheckError for a member with another version.
    """
    version = site.kubernetes.version
    needed = [name for name in kubeadm_checks.programs(minor_of(site)) if name != "crictl"]  # cri-tools is installed in any case

    def check(run: Run) -> None:
        state = run.read(host, node.look(host))
        if state.joined and (other := rules.other_version(state, version)):
            raise PrecheckError(
                f"{host} is in the cluster with {other}, but hosts.yaml wants {version}",
                hint=f"write {other} as kubernetes.version in hosts.yaml; an upgrade is `inv upgrade.run --to VERSION`",
            )

    def done(run: Run) -> bool:
        state = run.read(host, node.look(host))
        return rules.pinned(state, version) and (state.joined or not run.read(host, prepare.missing_programs(needed)))

    return Step(
        f"install kubeadm, kubelet, kubectl {version}, held",
        host,
        check=check,
        done=done,
        do=lambda run: install(run, host, prepare.pin_packages(version, needed)),
        settled=True,
        by_hand=by_hand("cluster", "install_packages", version=version, programs=node.PROGRAMS, tools=needed),
    )


def run_containerd(site: Site, host: Host) -> Step:
    """Return the step that runs containerd with the kubelet's cgroup driver and kubeadm's pause image, its registries, runtimes and proxy.

    The file is of the containerd that is installed: after its upgrade to 2.x this step writes it anew, and proves what containerd makes of it.
    Raises InventoryError when a password of a registry cannot be read, PrecheckError when the installed containerd is too old.
    """

    def wanted(run: Run, packages: Mapping[str, str], pause: str) -> tuple[File, ...]:
        installed = containerd.major(packages) or 1  # none yet: only shown by --plan
        return _files(site, host, kernel=False, pause=pause, major=installed, passwords=registry_logins.passwords(site))

    def done(run: Run) -> bool | Unmet:
        state = run.read(host, node.look(host))
        if state.joined:
            return True
        pause = _pause(run, site, host, state.packages)
        there = wanted(run, state.packages, pause)
        if reason := rules.runtime_not_ready(run.read(host, prepare.runtime()), pause):
            return Unmet(reason)
        if why := runtime.other_proxy(run, site, host, ("containerd",)):
            return Unmet(why)
        return not runtime.differing(run, host, there)

    def do(run: Run) -> None:
        packages = run.read(host, node.look(host)).packages
        runtime.place(run, host, wanted(run, packages, _pause(run, site, host, packages)))
        run.change(host, prepare.run_runtime())

    text = by_hand(
        "cluster",
        "run_containerd",
        host=host,
        files=_files(site, host, kernel=False),
        version=site.kubernetes.version,
        config=prepare.CONTAINERD_CONFIG,
        logins=any(each.login for each in site.kubernetes.containerd.registries),
    )
    name, check = "run containerd with our configuration", lambda run: _fits(run, site, host)
    return Step(name, host, check=check, done=done, do=do, within=20, by_hand=text)


def _fits(run: Run, site: Site, host: Host) -> None:
    """Raise InventoryError when a file of the runtime cannot be made, PrecheckError when ``host`` cannot have it.

    That is: its containerd is too old, or a symbolic link is where the file belongs.
    """
    wanted = _files(site, host, kernel=False, passwords=registry_logins.passwords(site))
    state = run.read(host, node.look(host))
    if state.joined:
        return
    if why := runtime_limits.too_old(site, runtime_limits.numbers(state.packages)):
        raise PrecheckError(f"{host}: {why}", hint="install a newer containerd, or delete the key in hosts.yaml")
    paths = [file.path for file in wanted if runtime.is_of_runtime(file.path)]
    if there := files.links(paths, run.read(host, runtime_files.look(paths))):
        raise PrecheckError(f"{host}: {files.not_files(there)}", hint=files.without_link(host, there[0]))


def pull_images(site: Site, host: Host) -> Step:
    """Return the step that pulls the images before kubeadm needs them, so that a missing image fails here and not in the middle."""

    def images(run: Run) -> tuple[str, ...]:
        listed = run.read(host, kubeadm.images(site.kubernetes.version, site.kubernetes.image_repository))
        return wanted_images(site, host, listed)

    def do(run: Run) -> None:
        known = (
            images(run) if "kubeadm" in run.read(host, node.look(host)).packages else ("those of `kubeadm config images list`",)
        )
        run.change(host, prepare.pull_images(known))

    return Step(
        "pull the images",
        host,
        done=lambda run: _member(run, host) or not run.read(host, prepare.missing_images(images(run))),
        do=do,
        by_hand=by_hand(
            "cluster",
            "pull_images",
            version=site.kubernetes.version,
            repository=site.kubernetes.image_repository,
            socket=CRI_SOCKET,
        ),
    )


def _tell_what_is_left(run: Run, host: Host) -> None:
    """Note what has to be changed on a member of the cluster, and is not changed here."""
    if _member(run, host):
        for text in host_setup.beyond(run.read(host, setup_look.look(run.site)), swap=run.site.kubernetes.swap):
            run.note(host, f"{text}; this command leaves that to you, since the host is in the cluster")


def _member(run: Run, host: Host) -> bool:
    return run.read(host, node.look(host)).joined


def _pause(run: Run, site: Site, host: Host, packages: Mapping[str, str]) -> str:
    if "kubeadm" not in packages:
        return UNKNOWN_PAUSE
    listed = run.read(host, kubeadm.images(site.kubernetes.version, site.kubernetes.image_repository))
    return pause_image(listed)


def _files(
    site: Site,
    host: Host,
    *,
    kernel: bool,
    pause: str = UNKNOWN_PAUSE,
    major: int = 1,
    passwords: Mapping[str, Secret] | None = None,
) -> tuple[File, ...]:
    """Return the host's files for the kernel (``kernel``), or all others, for containerd ``major``."""
    early = ("/etc/modules-load.d/", "/etc/sysctl.d/")
    return tuple(file for file in node_files(site, host, pause, major, passwords) if file.path.startswith(early) == kernel)


def _place(run: Run, host: Host, wanted: Sequence[File]) -> None:
    there = run.read(host, files.found(file.path for file in wanted))
    differing = files.differing(wanted, there)
    if differing:
        run.place(host, differing, there, files.place(differing))
