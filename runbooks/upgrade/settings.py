"""Reads what the components of a cluster are started with, for `rules.accepted`."""

from __future__ import annotations

from collections.abc import Sequence

from runbooks.commands import kubeadm_config, settings_look
from runbooks.commands.kubeadm_config import ClusterSettings
from runbooks.engine.steps import Run
from runbooks.errors import RunbookError
from runbooks.inventory.model import Host
from runbooks.upgrade.rules.accepted import Facts
from runbooks.view.cluster import Survey


def look(run: Run, survey: Survey, hosts: Sequence[Host], minor: int) -> Facts:
    """Read ``hosts`` in parallel, and the cluster's ConfigMaps; a host that cannot be read has its error instead.

    ``minor`` is the minor version of the cluster.
    """
    return Facts(survey.each(run, {host: settings_look.look() for host in hosts}), _cluster(run, survey, minor))


def _cluster(run: Run, survey: Survey, minor: int) -> ClusterSettings | RunbookError:
    try:
        api_host = survey.serving(run)
        return run.read(api_host, kubeadm_config.look(api_host, minor))
    except RunbookError as error:
        return error
