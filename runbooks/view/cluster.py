"""What the control plane hosts say about the cluster. Any of them may be down, also the first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from runbooks.commands import node
from runbooks.commands.base import Probe
from runbooks.commands.node import NodeState
from runbooks.commands.node_objects import Node, nodes
from runbooks.engine.steps import Run
from runbooks.errors import NotServing, RunbookError, UnreachableError
from runbooks.inventory.model import Host
from runbooks.rules import cluster as rules
from runbooks.text import naming

T = TypeVar("T")


class Survey:
    """Reads hosts and remembers those that could not be reached, so that a dead host costs its timeout only once."""

    def __init__(self) -> None:
        self._lost: dict[Host, RunbookError] = {}

    def each(self, run: Run, probes: Mapping[Host, Probe[T]]) -> dict[Host, T | RunbookError]:
        """As `Run.read_each`, but a host that was unreachable once keeps its error and is not asked again.

        When a host turns out to be unreachable, the others are read again: the timeout took seconds, so their answers may be outdated.
        """
        while True:
            said = run.read_each({host: probe for host, probe in probes.items() if host not in self._lost})
            lost = {host: each for host, each in said.items() if isinstance(each, UnreachableError)}
            if not lost:
                return {host: self._lost.get(host) or said[host] for host in probes}
            self._lost |= lost
            run.look_anew()

    def once(self, run: Run, probes: Mapping[Host, Probe[T]]) -> None:
        """Read ``probes`` for later, each host once. When one is unreachable, the answers of the others are dropped: they may be outdated."""
        said = run.read_each(probes)
        if lost := {host: each for host, each in said.items() if isinstance(each, UnreachableError)}:
            self._lost |= lost
            run.look_anew()

    def control_plane(self, run: Run) -> dict[Host, NodeState | RunbookError]:
        """Return the state of every control plane host, or its error."""
        return self.each(run, {host: node.look(host) for host in run.site.control_plane})

    def reachable(self, run: Run) -> tuple[Host, ...]:
        """Return the control plane hosts that answer."""
        return tuple(host for host, state in self.control_plane(run).items() if isinstance(state, NodeState))

    def api_host(self, run: Run, *, without: Host | None = None) -> Host | None:
        """Return a control plane host other than ``without`` whose API server is ready, or None."""
        states = self.control_plane(run)
        serving = (host for host, state in states.items() if isinstance(state, NodeState) and state.serves)
        return next((host for host in serving if host != without), None)

    def serving(self, run: Run, *, without: Host | None = None) -> Host:
        """Return a control plane host other than ``without`` whose API server is ready.

        Raises NotServing, with a line per host, when there is none.
        """
        found = self.api_host(run, without=without)
        if not found:
            raise NotServing(self.why_none_serves(run), hint="inv cluster.status")
        return found

    def why_none_serves(self, run: Run) -> str:
        """Return the text "no API server is ready:" with the reason on each control plane host."""
        said = "".join(f"\n  {naming(host, _said(state))}" for host, state in self.control_plane(run).items())
        return f"no API server is ready:{said}"

    def nodes(self, run: Run, api_host: Host) -> dict[str, Node]:
        """Return the Node objects by name, from the API server of ``api_host``."""
        return run.read(api_host, nodes(api_host))


def _said(state: NodeState | RunbookError) -> str:
    if isinstance(state, RunbookError):
        return str(state)
    if state.attempt:
        return f"kubeadm {state.attempt} was left unfinished"
    if not state.joined:
        return "in no cluster"
    return (rules.has_every_static_pod(state) and state.api) or "some of its static pod manifests are missing"
