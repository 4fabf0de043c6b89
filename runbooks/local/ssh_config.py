"""How the operator's own ssh reaches a host: `ssh -G` says it, with every rule of ~/.ssh/config and /etc/ssh/ssh_config. Connects to nothing."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path

from runbooks.commands.ssh_config import SSH_PORT, Gateway, Jump, Login, Ways, answers, jumps, of_command, with_tokens
from runbooks.errors import InventoryError
from runbooks.inventory.problems import quoted
from runbooks.local import programs

MOST_JUMPS = 8
# As newer versions of ssh: a command in somebody's configuration (Match exec, ProxyCommand) may get the name of the host, by a shell.
SHELL = frozenset("'`\"$\\;&<>|(){} ")
TIMEOUT_S = 20


class OwnSsh:
    """Asks ssh about hosts and remembers its answers. Without ssh on this machine, hosts are reached as they are written.

    ``config``: another file than the user's own. https://man.openbsd.org/ssh#G
    """

    def __init__(self, config: Path | None = None) -> None:
        self.config = config
        self.there = shutil.which("ssh") is not None
        self._said: dict[str, dict[str, list[str]]] = {}

    def login(self, host: str, given: Jump | None = None, ways: Ways | None = None) -> Login:
        """Return how ``host`` (an address, a name or an alias of the configuration) is reached.

        What ``given`` (user, port, key; its own host counts for nothing) and ``ways`` say stands above the configuration, as options of
        ssh do. Raises InventoryError when gateways lead in a circle, CommandError when ssh refuses its own configuration.
        """
        said, own = self._of(host), given or Jump(host)
        chosen = ways if ways and (ways.jumps or ways.unclear) else self._ways(said)
        user, port = own.user or said.get("user", [getpass.getuser()])[0], own.port or int(said.get("port", [str(SSH_PORT)])[0])
        key, more, unsaid = self._key(host, said, user, port)
        notes = [
            f"{host}: IdentityFile {quoted(each)} cannot be said here; write ssh.key by hand" for each in unsaid if not own.key
        ]
        if chosen.unclear:  # only its first word, without a login: there may be a password in the rest
            word = chosen.unclear.split()[0].partition("=")[0].rpartition("@")[2]
            notes.append(f"{host}: {quoted(word)} ... on the way to it cannot be said here; write ssh.gateway by hand")
        notes += [f"{host}: ssh has {len(more) + 1} keys for it; this is the first one that is there"] * bool(
            more and not own.key
        )
        default = self._of("", bare=True)
        names = ("user", "port", "identityfile")
        configured = {each for each in names if said.get(each, []) != default.get(each, [])}
        configured |= {each for each, value in zip(names, (own.user, own.port, own.key), strict=True) if value is not None}
        return Login(
            said.get("hostname", [host])[0],
            user,
            port,
            meant(own.key) if own.key else key,
            self._chain(chosen.jumps, (host,)),
            frozenset("key" if each == "identityfile" else each for each in configured),
            tuple(notes),
        )

    def _chain(self, given: Sequence[Jump], before: tuple[str, ...]) -> tuple[Gateway, ...]:
        """Return the gateways behind the words of ``given``: the first one may be behind others itself."""
        found: tuple[Gateway, ...] = ()
        for number, jump in enumerate(given):
            if jump.host in before or len(before) > MOST_JUMPS:
                raise InventoryError(
                    f"the way to {before[0]} leads through {jump.host} again: {' -> '.join((*before, jump.host))}",
                    hint="correct ProxyJump in your ssh configuration",
                )
            said = self._of(jump.host)
            if number == 0:
                found += self._chain(self._ways(said).jumps, (*before, jump.host))
            user, port = (
                jump.user or said.get("user", [getpass.getuser()])[0],
                jump.port or int(said.get("port", [str(SSH_PORT)])[0]),
            )
            key = meant(jump.key) if jump.key else self._key(jump.host, said, user, port)[0]
            found += (Gateway(said.get("hostname", [jump.host])[0], user, port, key),)
        return found

    @staticmethod
    def _ways(said: dict[str, list[str]]) -> Ways:
        if "proxyjump" in said:
            return jumps(said["proxyjump"][0])
        return of_command(said["proxycommand"][0]) if "proxycommand" in said else Ways()

    def _key(self, host: str, said: dict[str, list[str]], user: str, port: int) -> tuple[str | None, list[str], list[str]]:
        """Return the key of a configuration, the others, and those that cannot be told. None for ssh's own usual keys."""
        if said.get("identityfile") == self._of("", bare=True).get("identityfile"):
            return None, [], []
        given = [each for each in said.get("identityfile", []) if each.lower() != "none"]
        values = {
            "d": str(Path.home()),
            "u": getpass.getuser(),
            "i": str(os.getuid()),
            "l": socket.gethostname(),
            "L": socket.gethostname().partition(".")[0],
            "h": said.get("hostname", [host])[0],
            "n": host,
            "k": said.get("hostkeyalias", [host])[0],
            "p": str(port),
            "r": user,
        }
        files = {each: with_tokens(each, values, os.environ) for each in given}
        known = [meant(each) for each in files.values() if each]
        unsaid = [each for each, path in files.items() if not path]
        there = next((each for each in known if Path(each).expanduser().is_file()), next(iter(known), None))
        return there, [each for each in known if each != there], unsaid

    def _of(self, host: str, *, bare: bool = False) -> dict[str, list[str]]:
        """Return what ssh says of ``host``; ``bare``: without any configuration."""
        if not self.there:
            return {}
        if host not in self._said:
            if host.startswith("-") or not host.isprintable() or SHELL.intersection(host):
                raise InventoryError(f"{quoted(host)} is no name of a host", hint="correct its name")
            config = ["-F", "none"] if bare else ["-F", str(self.config)] if self.config else []
            self._said[host] = answers(programs.run(["ssh", "-G", *config, host or "localhost"], timeout_s=TIMEOUT_S).stdout)
        return self._said[host]


def meant(path: str) -> str:
    """Return a path that somebody has given to this command, to ssh or to Ansible, as the same file wherever it is read.

    A relative one is relative to the directory in which this command was started; ~ stays, as hosts.yaml has it, too.
    """
    return path if path.startswith(("~", "/")) else str(Path.cwd() / path)
