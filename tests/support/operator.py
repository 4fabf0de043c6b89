"""How the tests act as an operator: real commands in real processes, against a site file of their own."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from threading import Timer
from typing import Any

import yaml

from lab.control import Lab
from lab.process import Done
from tests.support import ROOT
from tests.support.waiting import SLOWEST, again, eventually

REFUSES = 3  # the exit status of a command that refuses to begin: nothing was changed
LOOKS_S = 120  # a command that only looks is asked again for so long
REFUSED_S = 240  # on a machine that is busy a check before the first change may fail, and pass soon after


@dataclass
class Operator:
    """Somebody at a shell in ``checkout``, whose site file is a copy of the twin's that a test may edit."""

    lab: Lab
    directory: Path
    checkout: Path = ROOT
    environ: dict[str, str] = field(default_factory=dict)
    last_words: str = ""  # what the command that was followed said on standard error

    def __post_init__(self) -> None:
        self.site = self.directory / "site.yaml"
        if not self.site.exists():
            self.site.write_text(self.lab.instance.site.read_text())

    def edit(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Change the site file."""
        content = yaml.safe_load(self.site.read_text())
        change(content)
        self.site.write_text(yaml.safe_dump(content, sort_keys=False))

    def inv(self, *words: str, timeout_s: float = 180) -> Done:
        """Run a command to its end. ``timeout_s``: it hangs when it takes longer, SLOWEST times that on a busy machine."""
        return subprocess.run(
            [sys.executable, "-m", "invoke", *words],
            cwd=self.checkout,
            env=self.env(),
            capture_output=True,
            text=True,
            timeout=timeout_s * SLOWEST,
            stdin=subprocess.DEVNULL,
            check=False,
        )

    def good(self, *words: str, timeout_s: float = 180) -> str:
        """Run a command that must succeed, and return what it printed."""
        return printed(words, self.inv(*words, timeout_s=timeout_s))

    def admitted(self, *words: str, timeout_s: float = 180) -> Done:
        """Run a command to its end, again while it refuses to begin (exit 3, nothing was touched), for up to REFUSED_S."""
        return again(lambda: self.inv(*words, timeout_s=timeout_s), lambda done: done.returncode == REFUSES, REFUSED_S)

    def done(self, *words: str, timeout_s: float = 180) -> str:
        """Run a command that must be `admitted` and succeed, and return what it printed."""
        return printed(words, self.admitted(*words, timeout_s=timeout_s))

    def idle(self, *words: str) -> None:
        """Run a command that must find nothing to do; a failure shows all that it did."""
        said = self.busy(*words)
        assert said == "", said

    def busy(self, *words: str) -> str:
        """Run a command that must succeed; return "" when it found nothing to do, and otherwise what it printed."""
        said = self.done(*words)
        return "" if "nothing to do: " in said else said

    def well(self, *words: str) -> str:
        """Run a command that only looks, again until it finds all well, and return what it printed.

        For what a test needs to go on, once what it waits for has happened: on a machine that is busy a server may miss one question.
        """
        return printed(words, again(lambda: self.inv(*words), lambda done: done.returncode != 0, LOOKS_S))

    def sees(self, *words: str, told: str) -> Done:
        """Run a command that only looks, again until it says ``told``: on a machine that is busy a cause may show late."""
        done = again(lambda: self.inv(*words), lambda done: told not in done.stdout + done.stderr, LOOKS_S)
        assert told in done.stdout + done.stderr, f"{words} do not say {told!r}: {done.stdout}{done.stderr}"
        return done

    def trouble(self, *words: str) -> str:
        """Run a command; return "" when it succeeds, and otherwise what it printed."""
        done = self.inv(*words)
        return f"{words}: {done.stdout}{done.stderr}" if done.returncode else ""

    def verified(self) -> None:
        """Wait until cluster.verify finds nothing: on a machine that is busy a VIP may move, and a pod start once more."""
        eventually(lambda: self.trouble("cluster.verify"), "", 180)

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a command; what it says goes to a file (see `words`), so that nobody has to read it meanwhile."""
        with (self.directory / "said").open("w") as said:
            return subprocess.Popen(
                [sys.executable, "-m", "invoke", *words],
                cwd=self.checkout,
                env=self.env(),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                text=True,
            )

    def words(self, process: subprocess.Popen[str]) -> str:
        """Wait until a started command ends, and return what it said."""
        process.wait(timeout=600 * SLOWEST)
        return (self.directory / "said").read_text()

    def strike(self, number: int, how: signal.Signals, *words: str, named: str = "") -> int:
        """Run a command and send it a signal at its ``number``-th change with ``named`` in it; return its exit status.

        A command that ends before it fails the test with all that it said.
        """
        changes = count()

        def reached(event: dict[str, Any]) -> bool:
            return event["event"] == "change" and named in json.dumps(event) and next(changes) == number - 1

        struck: list[dict[str, Any]] = []

        def strike(process: subprocess.Popen[str], event: dict[str, Any]) -> None:
            struck.append(event)
            process.send_signal(how)

        exited, events = self.follow(*words, when=reached, act=strike)
        assert struck, f"{words} ended with {exited} before: {json.dumps(events[-12:], indent=1)}\n{self.last_words}"
        return exited

    def follow(
        self,
        *words: str,
        when: Callable[[dict[str, Any]], bool],
        act: Callable[[subprocess.Popen[str], dict[str, Any]], object],
        timeout_s: float = 600,
    ) -> tuple[int, list[dict[str, Any]]]:
        """Run a command with --json and ``act`` at the first event that ``when`` is true of; return its exit status and all its events.

        As `admitted` does, it is run again while it refuses to begin.
        """
        return again(lambda: self._follow(words, when, act, timeout_s), lambda found: found[0] == REFUSES, REFUSED_S)

    def _follow(
        self,
        words: tuple[str, ...],
        when: Callable[[dict[str, Any]], bool],
        act: Callable[[subprocess.Popen[str], dict[str, Any]], object],
        timeout_s: float,
    ) -> tuple[int, list[dict[str, Any]]]:
        with (self.directory / "last words").open("w+") as last_words:
            process = subprocess.Popen(
                [sys.executable, "-m", "invoke", *words, "--json"],
                cwd=self.checkout,
                env=self.env(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=last_words,
                text=True,
            )
            assert process.stdout
            hanging = Timer(timeout_s * SLOWEST, process.kill)
            hanging.start()
            events: list[dict[str, Any]] = []
            acted = False
            for line in process.stdout:
                if not line.endswith("\n"):
                    break  # it was killed in the middle of it
                events.append(json.loads(line))
                if not acted and when(events[-1]):
                    acted = True
                    act(process, events[-1])
            exited = process.wait(timeout=60)
            hanging.cancel()
            last_words.seek(0)
            self.last_words = last_words.read()
        return exited, events

    def env(self) -> dict[str, str]:
        """The environment of the operator's shell."""
        mine = {key: value for key, value in os.environ.items() if not key.startswith("RUNBOOKS_")}
        return mine | {"RUNBOOKS_SITE": str(self.site)} | self.environ


def printed(words: tuple[str, ...], done: Done) -> str:
    """Return what a command has printed, which must have succeeded."""
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


def holders(lab: Lab, vip: str = "10.1.1.100") -> list[str]:
    """Return the LBs that have the VIP on an interface, asked on their consoles."""
    found = []
    for host in ("lb1", "lb2"):
        if vip in lab.console(host, ["ip", "-o", "address", "show", "to", vip]).stdout:
            found.append(host)
    return found


FLAGS = "cd /run/ha-runbooks && grep -H . drain haproxy_down hung late leaving yield blind vrrp_state; cd /; journalctl -q -u keepalived -n 25 -o short-iso"


def vip_on(lab: Lab, *hosts: str) -> None:
    """Wait until exactly ``hosts`` hold the VIP. A failure shows what keepalived is told and what it said on each LB."""
    try:
        eventually(lambda: holders(lab), list(hosts))
    except AssertionError as error:
        raise AssertionError("\n".join([str(error), *keepalived_says(lab)])) from None


def keepalived_says(lab: Lab) -> list[str]:
    """Return what keepalived is told and what it said, on each LB."""
    return [f"{host}:\n{lab.console(host, ['bash', '-c', FLAGS]).stdout}" for host in ("lb1", "lb2")]


def edit_manifest(name: str, program: str) -> str:
    """Return the shell text that edits the static pod ``name`` by the sed ``program``, in one rename, and not at all where that changes nothing.

    With `sed -i` the kubelet may take sed's temporary file beside it for one more Pod of that name, and start its container twice.
    """
    there, new = f"/etc/kubernetes/manifests/{name}.yaml", f"/root/{name}.new"
    return f"cp -p {there} {new} && sed -i {shlex.quote(program)} {new} && {{ cmp -s {new} {there} && rm {new} || mv {new} {there}; }}"


def sh(operator: Operator, host: str, text: str) -> str:
    """Run a shell's text on a host's console and return what it printed; it must succeed."""
    done = operator.lab.console(host, ["bash", "-c", text], timeout_s=120 * SLOWEST)
    assert done.returncode == 0, f"{host}: {done.stdout}{done.stderr}"
    return done.stdout
