"""What every step of a restore needs: the decided restore, and where its snapshot comes from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from runbooks.commands.etcd_restore import HostData
from runbooks.engine.steps import Run, Unmet
from runbooks.inventory.model import Host, Site
from runbooks.recover.quorum.look import host_data, hosts_data
from runbooks.recover.quorum.source import Snapshots
from runbooks.recover.rules import quorum as rules
from runbooks.recover.rules.restore import Restore
from runbooks.view.cluster import Survey


@dataclass(frozen=True)
class RestoreContext:
    """One restore. ``spool`` is the local file that holds a survivor's database on its way to the other hosts."""

    site: Site
    plan: Restore
    snapshots: Snapshots
    spool: Path
    survey: Survey = field(default_factory=Survey)

    @property
    def members(self) -> tuple[Host, ...]:
        """The hosts of the new cluster, in the order of hosts.yaml."""
        return tuple(host for host in self.site.control_plane if host.name in self.plan.members)

    @property
    def survivor(self) -> Host | None:
        """The host whose own database is restored; None when a set or a file is restored."""
        return self.site.host(self.plan.source.name) if self.plan.source.kind == "member" else None

    def is_in_place(self, found: HostData) -> bool:
        """Whether the restored data is in place on the host for which ``found`` was read."""
        return rules.is_in_place(found, self.plan.token)

    def can_bump(self, run: Run) -> bool:
        """Whether etcdutl can raise the revision on every host. All hosts must do the same, or their data would differ."""
        return all(each.reader[1] for each in hosts_data(run, self.members).values() if each.reader[0])

    def done(self, host: Host, part_is_done: Callable[[Run, HostData], bool | Unmet]) -> Callable[[Run], bool | Unmet]:
        """Return the ``done`` of a step on ``host``: the restored data is in place already, or ``part_is_done`` says so."""

        def done(run: Run) -> bool | Unmet:
            found = host_data(run, host)
            return self.is_in_place(found) or part_is_done(run, found)

        return done
