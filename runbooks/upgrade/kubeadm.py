"""Runs `kubeadm upgrade` on a host and follows it until it has ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import monotonic, sleep

from runbooks.commands import kubeadm, upgrade_kubeadm
from runbooks.commands.kubectl import url
from runbooks.commands.upgrade_kubeadm import Action, Progress
from runbooks.engine.steps import Run
from runbooks.errors import CommandError, NotLetIn, OutcomeError, RunbookError, UnreachableError, reason
from runbooks.inventory.model import Host, Site
from runbooks.rules import next_command
from runbooks.rules.upgrade_checks import Ignored, flags, ignored
from runbooks.rules.upgrade_seen import version_in
from runbooks.text import indented
from runbooks.upgrade import own_kubelet
from runbooks.upgrade.context import Upgrade
from runbooks.upgrade.fetching import missing_images
from runbooks.upgrade.pod_proof import probe
from runbooks.upgrade.rules.kubeadm_flags import leaves_etcd

ARRIVED_WITHIN_S = 180  # after kubeadm has ended: it does not wait for every pod
ENDS_WITHIN_S = 40 * 60  # five components, five minutes each, and as long to go back
ASK_EVERY_S = 2.0  # while the host cannot be asked
LISTEN_S = 5  # how long an answer may take while kubeadm says nothing: containers are looked at that often
LOST_S = 60
SLOW_S = 150  # a host that is overloaded, and gives a session but no answer
HEALTH = "CreateJob"  # kubeadm's check that a Pod is started and ends, within 15 s
NOT_STARTED = 70  # of upgrade-kubeadm.sh: kubeadm was not started


def carry_out(upgrade: Upgrade, run: Run, host: Host, action: Action) -> None:
    """Run it to its end. Raises OutcomeError with its last lines.

    Where kubeadm's own health check was too quick, a Pod of ours proves the same with more patience; then kubeadm runs again without it.
    """
    progress = _once(upgrade, run, host, action)
    if progress and refused_by_health(progress):
        run.note(host, f"kubeadm's own health check gave a Pod too little time, one of ours gets more: {progress.word}")
        probe(upgrade, run, host, "")
        progress = _once(upgrade, run, host, action, proven=(HEALTH,))
    if progress and progress.code != 0:
        raise OutcomeError(
            f"{host}: `kubeadm upgrade {action}` exited {progress.code}:{indented(progress.log[-8:])}", hint=_hint(host, progress)
        )


def refused_by_health(progress: Progress) -> bool:
    """Return whether kubeadm ended before its first change, since its health Job was not done in time."""
    return progress.code != 0 and any(HEALTH in line for line in progress.log)


def _once(upgrade: Upgrade, run: Run, host: Host, action: Action, proven: Sequence[str] = ()) -> Progress | None:
    """Start it, or join the one that runs, and return how it has ended; None in a plan. ``proven``: checks that kubeadm leaves out."""
    progress = run.read(host, upgrade_kubeadm.look())
    if not progress.running:
        own_kubelet.as_patch(upgrade, run, host)
        etcd = etcd_flags(upgrade, run, host)
        words = (*wanted_flags(upgrade, run, host, proven), *etcd)
        command = upgrade_kubeadm.start(action, f"v{upgrade.version}", words, end_api=ended_first(upgrade.site, host, etcd))
        if run.change(host, command) is None:
            return None
    return follow(run, host)


def follow(run: Run, host: Host) -> Progress:
    """Wait until the kubeadm on ``host`` has ended, and say what it does meanwhile. A session that breaks is made anew.

    Raises OutcomeError when it does not end, UnreachableError when the host has given no session for LOST_S seconds, and its own error after SLOW_S.
    """
    answered = monotonic()
    deadline = answered + ENDS_WITHIN_S
    silent, told = False, dict[str, str]()
    while monotonic() < deadline:
        said = run.read_each({host: upgrade_kubeadm.look(wait_s=LISTEN_S)}, fresh=True)[host]
        if isinstance(said, RunbookError):
            if isinstance(said, UnreachableError) and monotonic() - answered > LOST_S:
                raise _gone(host, said)
            if monotonic() - answered > SLOW_S:
                raise said
            if not silent:
                silent = True
                run.listener.say(f"          {host} does not answer; it is waited for: {reason(host, said)}")
            sleep(ASK_EVERY_S)
        else:
            answered, silent = monotonic(), False
            if not said.running and (said.code is not None or not said.attempt):
                run.look_anew()
                return said
            if not said.running:
                raise CommandError(
                    f"{host}: kubeadm was ended from outside: {said.word or said.attempt}", hint="run the same command again"
                )
            _tell(run, host, said, told)
            if said.word and told.get("") != said.word:
                told[""] = said.word
                run.listener.say(f"          {host}: {said.word}")
    raise OutcomeError(
        f"{host}: kubeadm has not ended within {ENDS_WITHIN_S // 60} minutes",
        hint=f"on {host}: systemctl status ha-runbooks-upgrade",
    )


def _gone(host: Host, error: RunbookError) -> UnreachableError:
    words = f"{host} has not answered for {LOST_S} s, while `kubeadm upgrade` was at work there: {reason(host, error)}"
    what = next_command.unreachable(host, error)
    if isinstance(error, NotLetIn) and "connect_timeout_s" in error.hint:
        # Over a connection that was up, a host without power looks like one that is slow, until TCP gives up.
        what = f"if it is off: {next_command.no_answer(host)}; if it runs: {what}"
    return UnreachableError(words, hint=f"{what}; then the same command goes on")


def _tell(run: Run, host: Host, said: Progress, told: dict[str, str]) -> None:
    """Say at once that a container ends again and again: kubeadm itself waits five minutes before it goes back."""
    for name, line in said.crashed.items():
        if name not in told:
            told[name] = line
            run.note(
                host, f"{name} ends again and again; kubeadm waits for it for five minutes, then goes back. Its last line: {line}"
            )


def crashes(crashed: Mapping[str, str]) -> str:
    """Return containers that end again and again in one line, with the last line of each."""
    return "; ".join(f"{name}: {line}" for name, line in crashed.items())


def wanted_flags(upgrade: Upgrade, run: Run, host: Host, proven: Sequence[str] = ()) -> tuple[str, ...]:
    """Return which of kubeadm's own checks it is told to ignore: those with a reason that is known beforehand, those ``proven``, no other."""
    wanted = ignored(upgrade.site, upgrade.to, images_there=not missing_images(upgrade, run, host))
    return flags(
        (*wanted, *(Ignored(name, "a Pod of ours has proven it") for name in proven)), run.read(host, kubeadm.cgroup_version())
    )


def etcd_flags(upgrade: Upgrade, run: Run, host: Host) -> tuple[str, ...]:
    """Return the flag that leaves etcd alone where nothing of it changes: kubeadm would restart it only for new certificates."""
    if not host.is_control_plane or upgrade.site.kubernetes.etcd != "stacked":
        return ()
    listed = run.read(host, kubeadm.images(upgrade.version, upgrade.site.kubernetes.image_repository))
    wanted = next((version_in(image) for image in listed if image.rpartition("/")[2].startswith("etcd:")), None)
    seen = upgrade.node(run, host)
    return ("--etcd-upgrade=false",) if leaves_etcd(seen, upgrade.to, wanted) else ()


def ended_first(site: Site, host: Host, etcd: Sequence[str]) -> str:
    """Return the URL of the API server that ends before kubeadm restarts etcd beside it, or "". ``etcd``: kubeadm's flags about etcd.

    The only API server is not ended: kubeadm asks it first.
    """
    restarts = host.is_control_plane and site.kubernetes.etcd == "stacked" and not etcd
    return url(host.address) if restarts and len(site.control_plane) > 1 else ""


def flags_by_hand(upgrade: Upgrade) -> str:
    """Return the flags as a person writes them, on a host with cgroup v1 where this makes a difference."""
    return " ".join(flags(ignored(upgrade.site, upgrade.to), "v1"))


def _hint(host: Host, progress: Progress) -> str:
    if progress.code == NOT_STARTED:
        return f"on {host}: crictl ps -a --name kube-apiserver; the kubelet starts it again within five minutes; then run the same command again"
    if progress.crashed:
        return f"{crashes(progress.crashed)}; kubeadm has gone back to the manifests before: inv upgrade.status"
    return f"on {host}: cat /run/ha-runbooks-upgrade/log; then run the same command again"
