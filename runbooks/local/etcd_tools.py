"""etcd's own programs on this machine, and a member of etcd that they run for a test."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import Final

from runbooks.commands import etcd_tools as commands
from runbooks.errors import CommandError, OutcomeError
from runbooks.local import programs


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """Programs of one version (major and minor). ``reader`` checks and restores snapshots; the others start a member and ask it."""

    reader: Path
    etcd: Path | None = None
    etcdctl: Path | None = None

    def status(self, snapshot: Path) -> commands.SnapshotStatus:
        """Return what the program says of ``snapshot``. Raises CommandError when it cannot be read."""
        said = programs.run(clean([self.reader, "snapshot", "status", snapshot, "-w", "json"]), environ=API)
        try:
            return commands.parse_snapshot(said.stdout)
        except ValueError as error:
            raise CommandError(f"{snapshot.name}: {error}") from None

    def restore(self, snapshot: Path, to: Path) -> None:
        """Make ``to`` the data directory of a single member, from ``snapshot``.

        The program checks the snapshot's own SHA-256. Raises CommandError when that or anything else fails.
        """
        words: list[str | Path] = [self.reader, "snapshot", "restore", snapshot, "--data-dir", to, "--name", NAME]
        words += ["--initial-cluster", f"{NAME}={PEER}", "--initial-advertise-peer-urls", PEER]
        programs.run(clean(words), environ=API, timeout_s=3600)
        if not (to / "member" / "snap" / "db").is_file():
            raise CommandError(f"{snapshot.name}: restoring it gave no database")


NAME, PEER = "proof", "http://127.0.0.1:2380"  # only written into the data directory: nothing listens there
API: Final = {"ETCDCTL_API": "3"}  # for 3.4
# Sockets in etcd's own working directory: the path of a socket is limited to about 100 characters, and that of the sets may be
# longer. The number after the colon is no port; before 3.5 etcd requires one.
CLIENT, PEERS = "unix://client:1", "unix://peer:1"
BOOT_S = 120


def clean(words: Sequence[str | Path]) -> list[str | Path]:
    """Return ``words`` without the operator's ETCD* variables: a value that is also given as a flag is a fatal error."""
    names = [name for name in os.environ if name.startswith(("ETCD_", "ETCDCTL_", "ETCDUTL_")) and name not in API]
    return ["env", *(word for name in names for word in ("-u", name)), *words] if names else [*words]


def version_of(path: Path) -> str:
    """Return the version of the program at ``path``, or "" when it does not run on this machine."""
    try:
        said = programs.run(clean([path, "--version" if path.name == "etcd" else "version"]), environ=API, timeout_s=20)
    except (CommandError, OSError):
        return ""
    return commands.parse_version(said.stdout)


class LocalMember:
    """An etcd on this machine with the data directory ``data`` in ``directory``. It listens only on sockets in ``directory``."""

    def __init__(self, tools: Tools, directory: Path, data: str) -> None:
        self._tools, self._directory = tools, directory
        self._words = [
            *(str(tools.etcd), f"--data-dir={data}", f"--name={NAME}", f"--initial-cluster={NAME}={PEER}"),
            *(f"--listen-client-urls={CLIENT}", "--advertise-client-urls=http://127.0.0.1:2379"),
            *(f"--listen-peer-urls={PEERS}", f"--initial-advertise-peer-urls={PEER}"),
        ]
        self._stop = Event()
        self._failed: list[str] = []
        self._thread = Thread(target=self._run, daemon=True)

    def __enter__(self) -> LocalMember:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def ask(self, *words: str, stdin: str | None = None, timeout_s: float = 120) -> str:
        """Return what etcdctl prints. Raises CommandError when it fails."""
        line = [str(self._tools.etcdctl), f"--endpoints={CLIENT}", f"--command-timeout={timeout_s:g}s", *words]
        return programs.run(clean(line), stdin=stdin, cwd=self._directory, environ=API, timeout_s=timeout_s + 10).stdout

    def ready(self) -> str:
        """Wait until it answers, and return its status as JSON. Raises OutcomeError when it ends, or does not answer in time."""
        deadline = time.monotonic() + BOOT_S
        while True:
            if self._failed:
                raise OutcomeError(f"etcd does not start from this snapshot: {self._failed[0]}")
            try:
                return self.ask("endpoint", "status", "-w", "json", timeout_s=2)
            except CommandError as error:
                if time.monotonic() > deadline:
                    raise OutcomeError(
                        f"etcd was started from this snapshot, but it does not answer within {BOOT_S} s: {error}"
                    ) from None
                time.sleep(0.05)

    def _run(self) -> None:
        try:
            programs.run(
                programs.tied_to_parent(clean(self._words)), cwd=self._directory, stop=self._stop.is_set, timeout_s=math.inf
            )
            self._failed.append("it ended without an error")
        except KeyboardInterrupt:
            pass  # we stopped it
        except (CommandError, OSError) as error:
            first, *rest = str(error).splitlines() or [""]
            self._failed.append("\n".join(rest) or first)
