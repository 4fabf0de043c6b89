"""Builds the twin of a site from a backup set, breaks it where a recovery needs that, and takes it away."""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final

from lab import saves
from lab.control import Lab
from lab.files import replace
from lab.kubernetes import Kubernetes
from lab.names import Instance
from lab.tree import wanted_name
from lab.twin import site_text
from rehearse import adapt
from rehearse.child import inv, must
from rehearse.origin import Contents
from rehearse.rules.procedures import Fault
from rehearse.watchdog import watched
from runbooks.backup.sets.store import Set
from runbooks.errors import OutcomeError, PrecheckError, RunbookError
from runbooks.inventory.model import Host, Site
from runbooks.text import indented, listed

MARK: Final = "rehearsal"  # in the lab's own directory: which rehearsal it belongs to; locked while that is at work
KEPT: Final = "kept"
WELL_S: Final = 240
GOOD: Final = (0, 5)  # exit statuses: done, or done but for what has to be told
SAVE: Final = "rehearsal"  # how the names of saves begin
FORMAT: Final = "3"  # of what a save holds: older saves are not used
LOST_DATA: Final = 'systemctl stop kubelet; pkill -KILL -x etcd; sleep 1; rm -rf -- "$0/member"; systemctl start kubelet'


@dataclass(slots=True)
class Twin:
    """The twin of ``site``, which has the version and the hosts that are rebuilt. ``tell`` prints what is done.

    changed  what is not as on the real site, in words. ``seconds``: how long each part of building took. ``adapted``: `adapt` is done;
    ``not_adapted`` is why it failed the last time.
    """

    lab: Lab
    site: Site
    origin: Set
    identity: str
    contents: Contents
    tell: Callable[[str], None]
    changed: list[str] = field(default_factory=list)
    adapted: bool = False
    not_adapted: str = ""
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def instance(self) -> Instance:
        """The lab instance of the twin."""
        return self.lab.instance

    @contextmanager
    def part(self, what: str) -> Iterator[None]:
        """Tell what begins, and keep how long it took."""
        self.tell(f"the twin: {what}")
        began = time.monotonic()
        yield
        self.seconds[what] = round(time.monotonic() - began, 1)

    def build(self, kubernetes: Kubernetes) -> None:
        """Boot its hosts and set up its load balancers. Raises RunbookError."""
        with self.part("its hosts"):
            source = self.instance.state / "rehearsed.yaml"
            replace(source, site_text(self.site, {}))
            self.lab.up(source, kubernetes=kubernetes)
        self.link_set()
        self.changed += self.furnish(self.site.nodes)
        with self.part("its load balancers (lb.setup)"):
            must(self.instance, "lb.setup")

    def furnish(self, hosts: Sequence[Host]) -> list[str]:
        """Give empty nodes what they need to become nodes of this site here. Returns what is not as on the real site, in words."""
        told = adapt.kubelets_start(self.lab, self.site, self.contents, hosts)
        if own := [each for each in self.contents.repositories if each not in adapt.DEFAULTS]:
            with self.part(f"packages and images of {listed(hosts)} (cluster.prepare)"):
                must(self.instance, "cluster.prepare", "--host", ",".join(map(str, hosts)))
            told += [text for repository in own for text in adapt.name_images(self.lab, hosts, repository)]
        return told

    def restore(self, gone: Sequence[str]) -> None:
        """Restore control plane and etcd from the set, then let the workers join. ``gone``: Node objects of the set that get no host here."""
        with self.part("its control plane, from the set (recover.control-plane)"):
            key = ("--identity", self.identity) if self.identity else ()
            words = ("recover.control-plane", "--backup", self.origin.id, "--yes-restore", self.site.name, *key)
            with self.adapting(gone):
                ended = inv(self.instance, *words)
            if self.adapted and ended.exited not in GOOD:  # it ended too early; etcd has its data, and this goes on with the rest
                ended = inv(self.instance, "recover.etcd-quorum", *words[1:])
            if not self.adapted or ended.exited not in GOOD:
                only = not self.adapted and ended.exited in GOOD
                why = f" what was restored could not be adapted: {self.not_adapted}" if only else ""
                raise OutcomeError(
                    f"the set {self.origin.id} cannot be restored on the twin:{why}{indented(ended.said.splitlines())}",
                    hint="perhaps this is what inv recover.control-plane would meet, too; --keep leaves the twin for a look",
                )
        workers = [host for host in self.site.nodes if not host.is_control_plane]
        if workers:
            with self.part("its workers (cluster.join)"):
                must(self.instance, "cluster.join", "--host", ",".join(map(str, workers)), good=GOOD)
                adapt.mark(self.lab, self.site, self.contents, workers)

    @contextmanager
    def adapting(self, gone: Sequence[str], *, joined: bool = False) -> Iterator[None]:
        """Adapt the cluster that the block restores as soon as its API server answers: what restores it waits until it is well.

        ``joined``: the twin is whole, and the block restores the set once more; what answers before that is not what it restores.
        """
        over = threading.Event()

        def watch() -> None:
            while (joined or not self.adapted) and not over.wait(1):
                self.adapted = self._adapted(gone, joined=joined) or self.adapted

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
        self.adapted = self._adapted(gone, joined=joined) or self.adapted

    def _adapted(self, gone: Sequence[str], *, joined: bool) -> bool:
        """Adapt the restored cluster if its API server answers, and it is not adapted yet. False: not yet."""
        try:
            if adapt.is_adapted(self.lab, self.site):
                return True
            if adapt.answers(self.lab, self.site):
                told = adapt.adapt(self.lab, self.site, self.contents, gone, joined=joined)
                self.changed += [each for each in told if each not in self.changed]
                return True
        except RunbookError as error:  # the API server has just begun; all of it can be done again
            self.not_adapted = str(error)
        return False

    def link_set(self) -> None:
        """Let the twin read the set that it is made from, where it looks for its own."""
        directory = self.instance.state / "backup"
        directory.mkdir(mode=0o700, exist_ok=True)
        link = directory / self.origin.id
        if not link.is_symlink():
            link.symlink_to(self.origin.path.absolute())

    def unlink_set(self) -> None:
        """Take that away again: what the twin does to its own sets must not reach it."""
        (self.instance.state / "backup" / self.origin.id).unlink(missing_ok=True)

    def save(self, name: str) -> None:
        """Keep a save of the twin, with what is not as on the real site. Raises RunbookError."""
        self.unlink_set()
        replace(self._noted, json.dumps(self.changed))
        self.lab.save(name)

    def from_save(self, name: str) -> None:
        """Boot the twin from a save of it. Raises RunbookError."""
        with self.part(f"from the save {name}"):
            self.lab.up_from(name)
        self.changed = json.loads(self._noted.read_text())

    @property
    def _noted(self) -> Path:
        return self.instance.state / ".runbooks" / "rehearsal.json"  # a save keeps this directory

    def well(self) -> None:
        """Wait until `cluster.verify` finds nothing on the twin. Raises OutcomeError with what it says after some minutes."""
        with self.part("proved well (cluster.verify)"):
            deadline = time.monotonic() + WELL_S
            while (ended := inv(self.instance, "cluster.verify")).exited:
                if time.monotonic() > deadline:
                    raise OutcomeError(
                        f"the twin does not get well, so it proves nothing:{indented(ended.said.splitlines())}",
                        hint="--keep leaves it for a look",
                    )
                time.sleep(2)

    def breaks(self, faults: Sequence[Fault]) -> None:
        """Break what the recovery is for."""
        for fault in faults:
            self.tell(f"the twin is broken: {fault}")
            if fault.kind == "reinstalled":
                self.lab.off(*fault.hosts)
                self.lab.reset(*fault.hosts)
                if nodes := [host for host in self.site.nodes if host.name in fault.hosts]:
                    self.furnish(nodes)
                continue
            for host in fault.hosts:
                self.lab.console(host, ["bash", "-c", LOST_DATA, self.site.kubernetes.etcd_data_dir], check=True)


def name_of_save(site: Site, origin: Set, kubernetes: Kubernetes, gone: Sequence[str]) -> str:
    """Return the name of the save of a twin: another set, site file, version or recipe has another one."""
    parts = (FORMAT, origin.id, site_text(site, {}), repr(kubernetes), ",".join(gone), wanted_name())
    return f"{SAVE}-{sha256(chr(10).join(parts).encode()).hexdigest()[:12]}"


def saved(name: str) -> bool:
    """Whether a lab can boot from the save ``name``."""
    return any(save.name == name and not saves.why_not(save, wanted_name()) for save in saves.all_of())


@contextmanager
def place(lab: Lab, *, keep: Callable[[], bool], tell: Callable[[str], None]) -> Iterator[None]:
    """Hold the place of the twin while the block runs, and remove the twin at its end, however that comes, unless ``keep`` says so.

    What a rehearsal that was killed has left is removed first. Raises PrecheckError when another one is at work there, when its twin was
    kept, or when the lab is somebody's own.
    """
    mark = lab.instance.state / MARK
    if lab.exists():
        refuse_used(lab, mark)
        tell(f"what an earlier rehearsal has left in the lab {lab.instance.name} is removed")
        lab.down()
        with saves.held(tell):
            saves.clear()
    try:
        for directory in (lab.instance.state, lab.instance.stores):  # all of the twin is below these two
            directory.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        raise PrecheckError(f"somebody has just begun to use the lab {lab.instance.name}", hint="--lab NAME") from None
    handle = os.open(mark, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.write(handle, json.dumps({"pid": os.getpid()}).encode())
    try:
        with watched(lab.instance.name) as ended:
            try:
                yield
            finally:
                if keep():
                    os.pwrite(handle, json.dumps({KEPT: True}).encode().ljust(40), 0)
                else:
                    lab.down()
                ended()
    finally:
        os.close(handle)


def refuse_used(lab: Lab, mark: Path) -> None:
    """Raise PrecheckError when what is there of the lab is not just the rest of a rehearsal that was killed.

    Without a mark that is only what /run has lost when the machine booted again: a lab that somebody is just building has no site file yet.
    """
    name = lab.instance.name
    down = f"RUNBOOKS_LAB={name} inv lab.down"
    try:
        handle = os.open(mark, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        if not lab.instance.state.exists():
            return
        raise PrecheckError(f"there is a lab {name} that is no twin of a rehearsal", hint=f"--lab NAME, or {down}") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if KEPT in json.loads(os.read(handle, 1000) or b"{}"):
            raise PrecheckError(f"the twin of an earlier rehearsal was kept as lab {name}", hint=down)
    except BlockingIOError:
        raise PrecheckError(f"another rehearsal is at work in the lab {name}", hint="wait until it ends, or --lab NAME") from None
    except ValueError:
        return
    finally:
        os.close(handle)
