"""What the steps of one upgrade share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from runbooks.commands import node, versions
from runbooks.commands.node import NodeState
from runbooks.commands.node_objects import Node
from runbooks.engine.steps import Run
from runbooks.errors import RunbookError
from runbooks.inventory.model import Host, Site
from runbooks.rules import verify
from runbooks.rules.upgrade_seen import NodeSeen, Version, text
from runbooks.upgrade.rules import status
from runbooks.upgrade.rules.choices import Choices
from runbooks.view.cluster import Survey


@dataclass(slots=True)
class Upgrade:
    """One upgrade of one hop.

    to       the version that the hosts get; ``choices.to`` is the last one of several hops.
    failed   workers that are left out since a step of theirs failed, and why; never more than ``choices.max_failed``.
    begun    hosts that this run works on, or has worked on.
    to_do    control plane hosts that this run has found before kubeadm's step: they stay so until this run has made it.
    """

    site: Site
    to: Version
    choices: Choices
    survey: Survey = field(default_factory=Survey)
    failed: dict[Host, RunbookError] = field(default_factory=dict)
    begun: set[Host] = field(default_factory=set)
    to_do: set[Host] = field(default_factory=set)
    _served: Host | None = None

    @property
    def version(self) -> str:
        """The target as hosts.yaml has it: "1.36.3"."""
        return text(self.to)

    def node(self, run: Run, host: Host) -> NodeSeen:
        """Return the versions on ``host``, without those of its pods. Raises the host's RunbookError."""
        return status.node(host, run.read(host, versions.look()), "not asked")

    def serving(self, run: Run, without: Host) -> Host:
        """Return a control plane host whose API server is ready: another one than ``without`` if there is one. Raises NotServing.

        The one that was last ready is asked first, and alone.
        """
        last = self._served
        if last and last != without:
            state = self.survey.each(run, {last: node.look(last)})[last]
            if isinstance(state, NodeState) and state.serves:
                return last
        self._served = self.survey.api_host(run, without=without) or self.survey.serving(run)
        return self._served

    def node_object(self, run: Run, host: Host) -> Node | None:
        """Return the Node object of ``host``, None when the cluster has none. Raises NotServing."""
        return object_of(host, self.survey.nodes(run, self.serving(run, host)))

    def node_name(self, run: Run, host: Host) -> str:
        """Return the name of the Node object of ``host``; the host's own when the cluster has none. Raises NotServing."""
        known = self.node_object(run, host)
        return known.name if known else host.name


def object_of(host: Host, nodes: Mapping[str, Node]) -> Node | None:
    """Return the Node object of ``host``: by its name or its address, else the one with (or without) the domain."""
    found = verify.node_of(nodes.values(), host)
    return found or host.among(nodes)
