"""Everything that `inv monitor.render` writes, by its path in the folder."""

from __future__ import annotations

import json
from typing import Any

from runbooks.commands.yaml_written import written
from runbooks.monitor import dashboards, objects, rule_file, scrape_file
from runbooks.monitor.host_files import host_files
from runbooks.monitor.rules.catalogue import groups
from runbooks.monitor.rules.scope import Scope


def everything(scope: Scope) -> dict[str, str]:
    """Return the files for the form that hosts.yaml names, the dashboards, and the files of each host below hosts/NAME."""
    found = {"account.yaml": _documents(scope, *objects.account(scope))}
    boards = {f"dashboards/{name}.json": _json(board) for name, board in dashboards.boards(scope).items()}
    if scope.settings.form == "operator":
        found["rules.yaml"] = _documents(scope, objects.rule_object(scope, groups(scope)))
        found["targets.yaml"] = _documents(scope, *objects.monitors(scope))
        data = {path.removeprefix("dashboards/"): text for path, text in boards.items()}
        found["dashboards.yaml"] = _documents(scope, objects.config_map(scope, "ha-runbooks-dashboards", data))
    else:
        found["rules.yml"] = _head(scope) + written({"groups": rule_file.rule_groups(scope, groups(scope))})
        found["scrape.yml"] = _head(scope) + written({"scrape_configs": scrape_file.scrape_configs(scope)})
        found["prometheus.yml"] = _head(scope) + written(scrape_file.prometheus_config(scope))
    for host in scope.site.hosts:
        found |= {f"hosts/{host}{file.path}": file.content for file in host_files(scope, host)}
    return found | boards


def _head(scope: Scope) -> str:
    rehearsal = f" Durations divided by {scope.faster}: for a rehearsal only." if scope.faster != 1 else ""
    return f"# {scope.site.name}: written by `inv monitor.render` from hosts.yaml.{rehearsal}\n"


def _documents(scope: Scope, *values: Any) -> str:
    return _head(scope) + "---\n".join(map(written, values))


def _json(value: Any) -> str:
    return json.dumps(value, indent=2) + "\n"
