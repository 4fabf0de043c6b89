"""The lab as a Python class: `Lab("test").up(...)`. The commands of lab/tasks.py, the tests and the benches use it."""

from __future__ import annotations

import shlex
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lab import cgroups, disk, login, machine, mounts, network, power, saves, tree, twin
from lab import kubernetes as lab_kubernetes
from lab.files import replace
from lab.lock import exclusive
from lab.names import RUN, Instance
from lab.process import Done, run
from runbooks.errors import PrecheckError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from lab.kubernetes import Entry, Kubernetes
    from lab.saves import Save
    from runbooks.inventory.model import Site


def silent(_: str) -> None:
    """Say nothing."""


class Lab:
    """One lab. A method that changes it first waits for other commands that do; every method can be repeated."""

    def __init__(self, name: str = "default", say: Callable[[str], None] = silent) -> None:
        self.instance = Instance(name)
        self.say = say

    # ------------------------------------------------------------------ the whole lab

    def up(self, source: Path, hosts: Sequence[str] = (), kubernetes: Kubernetes | None = None) -> None:
        """Boot ``hosts`` of the site file ``source`` (all of them when empty); repair, refresh and reconnect what is there.

        ``kubernetes`` gives all of them its packages and images; hosts that were made without it are booted again. None: as the lab was
        made, a new one without Kubernetes.
        """
        machine.require()
        if kubernetes:
            machine.require_bridge_filter()
            lab_kubernetes.parts_of(kubernetes)  # refuses what cannot run before there is anything of the lab
        site = twin.read(source)
        names = twin.chosen(site, hosts)
        with exclusive(self.instance, self.say):
            cgroups.thaw(cgroups.find(self.instance.namespace))
            wanted = self._found(site)
            entry = lab_kubernetes.settle(self.instance, kubernetes, self.say)
            running = power.look(self.instance, names)
            good = [name for name in names if self._sound(name, running[name], wanted[name], entry)]
            self._boot([name for name in names if name not in good], wanted)
            for name in disk.all_of(self.instance):
                if name in wanted and disk.ready(self.instance, name):
                    disk.refresh(self.instance, wanted[name])
            self._publish(site, source)
            for name in good:
                if not running[name].connected:
                    network.plug(self.instance, self.instance.port(name), connected=True)
            self._await(names, good)
            for name in disk.all_of(self.instance):
                if name not in wanted:
                    self.say(f"{name:<12} is not in the site any more, but still here; `lab.down` takes it away")

    def down(self) -> None:
        """Remove the lab: processes, cgroups, mounts, namespace, keys and disks. Also works after a crash."""
        with exclusive(self.instance, self.say):
            instance = self.instance
            cgroups.empty(cgroups.find(instance.namespace), instance.namespace)
            for pid, name in network.visitors(instance).items():
                self.say(f"process {pid} ({name}) still runs in the namespace, which goes when it ends")
            power.forget(instance)
            disk.erase_stores(instance)
            disk.erase_stale(instance)
            mounts.remove_tree(instance.state)
            network.remove(instance)
            instance.lock.unlink()
        mounts.remove_empty(RUN)

    def save(self, name: str) -> Save:
        """Keep the whole lab as it is at this moment under ``name``; see `lab.saving.save`. The lab goes on."""
        from lab.saving import save  # noqa: PLC0415 - start-up time

        machine.require()
        self._require()
        with exclusive(self.instance, self.say):
            return save(self.instance, self.site(), name, self.say)

    def up_from(self, name: str, source: Path | None = None) -> None:
        """Boot all hosts of the save ``name`` at once: same keys, certificates and objects, as after a power cut of all of them.

        ``source``: the site file that goes with it; it must describe the same hosts. None: whatever was saved. Raises PrecheckError
        when this lab is up already, or the save cannot be used any more.
        """
        machine.require()
        with exclusive(self.instance, self.say):
            with saves.held(self.say):
                found = saves.usable(name, tree.wanted_name())
                kept = twin.read(found.lab / "site.yaml")
                if source:
                    saves.refuse_other_site(found, kept, twin.read(source))
                if found.kubernetes:
                    machine.require_bridge_filter()
                if self.instance.site.exists():
                    raise PrecheckError(
                        f"the lab {self.instance.name} is there already",
                        hint="inv lab.down first, or RUNBOOKS_LAB=NAME for another lab",
                    )
                wanted = self._taken(found, kept)
                self._boot([*wanted], wanted)
            self._pin(kept)
            replace(self.instance.site, twin.twin_text(kept, self.instance, (source or found.path).absolute()))
            self._await([*wanted], [])

    def _taken(self, found: Save, kept: Site) -> dict[str, twin.Identity]:
        """Make the lab and the disks of all its hosts from a save; what a command that was killed has left is made anew."""
        from lab.saving import take  # noqa: PLC0415 - start-up time

        take(self.instance, found)
        wanted = self._found(kept)
        for host in found.hosts:
            disk.take(self.instance, host, found.host(host))
        return {host: wanted[host] for host in found.hosts}

    def exists(self) -> bool:
        """Whether there is anything of this lab, half of it included."""
        return self.instance.state.exists() or self.instance.stores.exists() or bool(cgroups.find(self.instance.namespace))

    def site(self) -> Site:
        """Return the twin's site; PrecheckError when the lab is not up."""
        self._require()
        return twin.read(self.instance.site)

    # ------------------------------------------------------------------ single hosts

    def off(self, *hosts: str) -> None:
        """Cut the power of ``hosts``: nothing is flushed, no process can react. Their disks stay."""
        with self._changing(hosts):
            power.cut_power(self.instance, hosts)

    def on(self, *hosts: str) -> None:
        """Boot ``hosts`` from their disks and wait for SSH. The cable is in."""
        with self._changing(hosts):
            site = self.site()
            running = power.look(self.instance, twin.chosen(site, hosts))
            dark = [host for host in running if not running[host].on]
            self._boot(dark, self._identities(site))
            connected = [host for host in running if host not in dark and running[host].connected]
            self._await([*dark, *connected], connected)  # one that is cut cannot answer: `heal` is for that

    def cut(self, *hosts: str) -> None:
        """Pull the network cable of ``hosts``, which go on running."""
        self._plug(hosts, connected=False)

    def heal(self, *hosts: str) -> None:
        """Put the network cable of ``hosts`` back in."""
        self._plug(hosts, connected=True)

    def reset(self, *hosts: str, trust: bool = True) -> None:
        """Give ``hosts`` empty disks and boot them: reinstalled machines, with new host keys.

        Without ``trust`` the old keys stay pinned, as in production until an operator accepts the new ones.
        """
        with self._changing(hosts):
            site = self.site()
            power.cut_power(self.instance, twin.chosen(site, hosts))
            for host in hosts:
                disk.erase(self.instance, host)
            pinned = self.instance.known_hosts.read_text()
            self._boot(hosts, self._identities(site))
            self._pin(site)
            self._await(hosts, [])
            if not trust:
                self.instance.known_hosts.write_text(pinned)

    def exec(
        self, host: str, argv: Sequence[str], stdin: str = "", *, root: bool = True, check: bool = False, timeout_s: float = 120
    ) -> Done:
        """Run ``argv`` on ``host`` over SSH as ops, by sudo unless ``root`` is false. CommandError on failure with ``check``."""
        words = login.as_root(argv) if root else shlex.join(argv)
        return run([*login.ssh(self.instance, host), words], stdin=stdin, check=check, timeout_s=timeout_s)

    def console(self, host: str, argv: Sequence[str], stdin: str = "", *, check: bool = False, timeout_s: float = 120) -> Done:
        """Run ``argv`` as root on ``host`` without its network, as on a machine's own console: works while it is cut."""
        prefix = ["nsenter", f"--target={self.leader(host)}", "--mount", "--uts", "--ipc", "--net", "--pid", "--"]
        return run([*prefix, *argv], stdin=stdin, check=check, timeout_s=timeout_s)

    def leader(self, host: str) -> int:
        """Return the host's PID 1 as this machine numbers it; PrecheckError when it is off."""
        found = power.look(self.instance, [host])[host].leader
        if found is None:
            raise PrecheckError(f"{host} is off", hint=f"inv lab.on --host {host}")
        return found

    def in_namespace(self, argv: Sequence[str] = ()) -> list[str]:
        """Return the command line that runs ``argv``, a program of this machine, in the lab's namespace (the gateway's place)."""
        self._require()
        return [*network.entering(self.instance), *argv]

    def netns_of(self, host: str, argv: Sequence[str] = ()) -> list[str]:
        """Return the command line that runs ``argv``, a program of this machine, with the network of ``host``."""
        return ["nsenter", f"--net=/proc/{self.leader(host)}/ns/net", "--", *argv]

    # ------------------------------------------------------------------ parts

    def _found(self, site: Site) -> dict[str, twin.Identity]:
        """Prepare the lab: state directory, login key, namespace, store of disks. Returns the hosts' identities."""
        instance = self.instance
        instance.state.mkdir(mode=0o700, exist_ok=True)
        if not instance.key.exists():
            instance.key.with_suffix(".pub").unlink(missing_ok=True)
            run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", instance.namespace, "-f", str(instance.key)])
        network.ensure(instance, twin.gateway(site), site.networks.management)
        disk.ensure_store(instance)
        disk.erase_stale(instance)
        return self._identities(site)

    def _identities(self, site: Site) -> dict[str, twin.Identity]:
        return twin.identities(site, self.instance.key.with_suffix(".pub").read_text().strip())

    def _sound(self, host: str, found: power.Power, wanted: twin.Identity, entry: Entry | None) -> bool:
        """Return whether a host runs as it should; otherwise it must be booted."""
        kept = disk.identity(self.instance, host)
        if not found.on or kept is None or not disk.ready(self.instance, host) or kept.reboots(wanted):
            return False
        return entry is None or disk.kubernetes(self.instance, host) == entry.path

    def _boot(self, hosts: Sequence[str], wanted: dict[str, twin.Identity]) -> None:
        """Boot ``hosts`` from their disks, or from new ones where there are none. What is left of their last run is removed first."""
        if not hosts:
            return
        power.cut_power(self.instance, hosts)
        entry = lab_kubernetes.noted(self.instance)
        machine.make_room(len(hosts), self.say, pods=entry is not None)
        fresh = [host for host in hosts if disk.note(self.instance, host) is None]
        base = tree.current(self.instance, self.say) if fresh else Path()
        for host in hosts:
            disk.prepare(self.instance, wanted[host], base, entry.path if entry else None)
            power.boot(self.instance, host)

    def _publish(self, site: Site, source: Path) -> None:
        """Write what the runbooks read: pinned keys first, the site file last."""
        self._pin(site)
        entry = lab_kubernetes.noted(self.instance)
        options = {}
        if entry:
            now, oom, v1 = twin.version_in(self.instance.site), machine.may_raise_limits(), cgroups.hosts_have_v1(mounts.mounts())
            options = twin.kubernetes_options(entry.versions, now=now, oom=oom, cgroup_v1=v1)
        replace(self.instance.site, twin.twin_text(site, self.instance, source.absolute(), options))

    def _pin(self, site: Site) -> None:
        keys = {host: key for host in disk.all_of(self.instance) if (key := disk.host_key(self.instance, host))}
        replace(self.instance.known_hosts, twin.known_hosts_text(site, keys))

    def _await(self, hosts: Iterable[str], good: Sequence[str]) -> None:
        tops = cgroups.find(self.instance.namespace)

        def answered(host: str, seconds: float) -> None:
            self.say(f"{host:<12} {'was up already' if host in good else f'up after {seconds:.1f} s'}")

        login.await_all(self.instance, {host: [path / host for path in tops] for host in hosts}, answered)

    def _plug(self, hosts: Sequence[str], *, connected: bool) -> None:
        with self._changing(hosts):
            found = power.look(self.instance, hosts)
            dark = [host for host in hosts if found[host].connected is None]
            if dark:
                raise PrecheckError(f"{', '.join(dark)}: off", hint=f"inv lab.on --host {','.join(dark)}")
            for host in hosts:
                network.plug(self.instance, self.instance.port(host), connected=connected)

    def _require(self) -> None:
        if not (self.instance.site.exists() and network.exists(self.instance)):
            raise PrecheckError(f"the lab {self.instance.name} is not up", hint="inv lab.up")

    @contextmanager
    def _changing(self, hosts: Sequence[str]) -> Iterator[None]:
        """Hold the lock, with the lab up and every one of ``hosts`` booted in it at least once."""
        machine.require()
        self._require()
        with exclusive(self.instance, self.say):
            strangers = [host for host in hosts if host not in disk.all_of(self.instance)]
            if strangers:
                raise PrecheckError(f"not in the lab: {', '.join(strangers)}", hint=f"inv lab.up --hosts {','.join(strangers)}")
            yield
