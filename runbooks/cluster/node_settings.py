"""Keep what people have set on a node while it is replaced, and give it to the new node before that takes pods.

The settings are kept in the cluster (a ConfigMap in kube-system), so that another person, or a run that is resumed, finds them.
"""

from __future__ import annotations

import json
from contextlib import suppress

from runbooks.backup.read.saved import saved_node
from runbooks.commands import kubectl
from runbooks.commands import node_settings as commands
from runbooks.commands.node_settings import Found, Live, NodeSettings
from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Run, Step, Unmet
from runbooks.errors import CommandError, PrecheckError, RunbookError
from runbooks.inventory.model import Host, Site
from runbooks.rules import node_settings as rules
from runbooks.rules import node_wanted as wanted
from runbooks.view.cluster import Survey


def keep(run: Run, api_host: Host, host: Host) -> None:
    """Write the settings of the Node of ``host`` to its ConfigMap, unless they are there already."""
    found = run.read(api_host, commands.look(api_host, host))
    wanted = rules.to_keep(found.live, found.kept)
    if wanted and wanted != found.kept:
        run.change(api_host, commands.keep(api_host, host, wanted, again=found.kept is not None))
        if text := rules.told(wanted):
            where = f"{commands.NAMESPACE}/{commands.kept_name(host)}"
            run.note(host, f"kept until it joins again, in the ConfigMap {where}: {text}")


def keep_settings(survey: Survey, host: Host) -> Step:
    """Return the step that keeps the settings of ``host``. It comes before the drain, which cordons the node."""

    def api_host(run: Run) -> Host:
        return survey.serving(run, without=host)

    def done(run: Run) -> bool:
        found = run.read(api_host(run), commands.look(api_host(run), host))
        return rules.to_keep(found.live, found.kept) == found.kept

    return Step(
        "keep its labels, taints and annotations",
        host,
        done=done,
        do=lambda run: keep(run, api_host(run), host),
        by_hand=by_hand("cluster", "keep_settings", host=host),
    )


def give_back(run: Run, api_host: Host, host: Host, *, replaces: bool) -> None:
    """Make the Node of ``host`` with the settings that were kept, so that its kubelet finds it and no pod comes before them.

    Without any, the kubelet registers a new Node. ``replaces``: there was a Node of this name, so say when nothing is known of it.
    """
    found = run.read(api_host, commands.look(api_host, host))
    if found.live:
        return
    kept, source = found.kept, ""
    if not kept or not rules.told(kept):
        kept, source = _from_set(run, host, found.cluster)
    if wanted.is_given(run.site.of_node(host)):
        kept = wanted.with_wanted(kept or wanted.NOTHING, run.site.of_node(host))
    if not kept:
        if replaces or source:
            why = f" ({source})" if source else ""
            run.note(host, f"nothing is known of an old node{why}: it joins without labels and taints of its own")
        return
    settings, lost = rules.usable(kept, host, run.read(api_host, commands.pod_cidrs(api_host)))
    run.change(api_host, kubectl.apply(api_host, json.dumps(rules.node(host, settings)), "create"))
    uncordon = f"; run kubectl uncordon {host} when it may take pods" if settings.cordoned else ""
    said = f"{rules.told(settings) or 'nothing'}{uncordon}"
    run.note(host, f"its node has again{f' (from the set {source})' if source else ''}: {said}")
    for text in lost:
        run.note(host, text)


def _from_set(run: Run, host: Host, cluster: str) -> tuple[NodeSettings | None, str]:
    """Return the settings of ``host`` from the newest set that has its Node, and the set's ID; or None, and what kept it from being read."""
    saved, text = saved_node(run.site, host.name, cluster)
    settings = rules.own(commands.settings_of(saved)) if saved else None
    return (settings, text) if settings and rules.told(settings) else (None, text)


def settle(survey: Survey, site: Site, host: Host) -> Step:
    """Give the Node of ``host`` the labels, annotations and taints of hosts.yaml. What hosts.yaml does not name is left as it is."""

    def live(run: Run) -> tuple[Host, str, Live]:
        api_host = survey.serving(run)
        nodes = run.read(api_host, commands.every(api_host))
        name = host.among({name: name for name in nodes})
        if not name:
            raise PrecheckError(f"{host} is no node of the cluster", hint="inv cluster.status")
        return api_host, name, nodes[name]

    def done(run: Run) -> bool | Unmet:
        _, _, found = live(run)
        said = run.site.of_node(host)
        if wanted.is_right(found.settings, said):
            return True
        return Unmet("; ".join(map(str, wanted.differences(found.settings, said))) or "the record of what hosts.yaml has set")

    def do(run: Run) -> None:
        if run.plan and not _is_node(survey, run, host):  # it is made by an earlier step
            _tell(run, host, wanted.NOTHING)
            return
        api_host, name, found = live(run)
        _tell(run, host, found.settings)
        patch = wanted.patch(found.settings, run.site.of_node(host), found.version)
        try:
            run.change(api_host, commands.change(api_host, name, patch))
        except CommandError as error:
            if "the object has been modified" not in str(error):
                raise
            _, _, found = live(run)  # somebody else was faster
            run.change(
                api_host, commands.change(api_host, name, wanted.patch(found.settings, run.site.of_node(host), found.version))
            )

    text = by_hand("cluster", "settle", host=host, wanted=site.of_node(host))
    return Step("labels, annotations and taints of hosts.yaml", host, done=done, do=do, within=30, by_hand=text)


def _is_node(survey: Survey, run: Run, host: Host) -> bool:
    api_host = survey.api_host(run)
    return bool(api_host and host.among({name: name for name in run.read(api_host, commands.every(api_host))}))


def _tell(run: Run, host: Host, there: NodeSettings) -> None:
    for each in wanted.differences(there, run.site.of_node(host)):
        run.note(host, str(each))


def forget(run: Run, api_host: Host, host: Host) -> None:
    """Delete what was kept of ``host``, which has joined: from now on its Node has it. While no API server answers, nothing is deleted."""
    found = run.read_each({api_host: commands.look(api_host, host)}, fresh=True)[api_host]
    if isinstance(found, Found) and found.kept and found.live:
        with suppress(RunbookError):  # what stays is used only when there is no Node
            run.change(api_host, commands.forget(api_host, host))
