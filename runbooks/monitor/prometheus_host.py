"""What an ordinary Prometheus needs, as files on this machine, and the commands that are left for its own host.

Prometheus is on a machine that is not in hosts.yaml: nothing is ever done there.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from runbooks.commands import files
from runbooks.commands.files import File, Found
from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Run, Step, Unmet
from runbooks.errors import DiskError, NotServing
from runbooks.local import files as local
from runbooks.monitor.cluster_steps import token
from runbooks.monitor.files import everything
from runbooks.monitor.objects import ACCOUNT, account_namespace
from runbooks.monitor.rules.scope import Scope
from runbooks.monitor.scrape_file import RULES
from runbooks.view.cluster import Survey

TOKEN, CA = "ha-runbooks.token", "ha-runbooks-ca.crt"
PLAIN = ("rules.yml", "scrape.yml", "prometheus.yml")


def plain(scope: Scope) -> dict[str, str]:
    """Return the files without a secret, by their names in the directory."""
    return {name: text for name, text in everything(scope).items() if name in PLAIN or name.startswith("dashboards/")}


def written(scope: Scope, survey: Survey, directory: Path) -> Step:
    """Return the step that writes rules, targets, dashboards, CA and token to ``directory`` on this machine. The token is private (0600)."""
    texts = plain(scope)

    def secrets(run: Run) -> dict[str, str]:
        found = token(run, scope, survey.serving(run))
        if not found:
            raise NotServing("Kubernetes has not made the token yet")
        return {TOKEN: found.token, CA: found.ca}

    def done(run: Run) -> bool | Unmet:
        wrong = [name for name, text in (texts | secrets(run)).items() if _text(directory / name) != text]
        if not wrong and local.open_to_others(directory / TOKEN):
            return Unmet(f"others may read {directory / TOKEN}")
        return Unmet.of(f"{directory / wrong[0]} is not as it should be" if wrong else "")

    def do(run: Run) -> None:
        run.here(f"write {directory}", lambda: _write(directory, texts | secrets(run)), _diff(directory, texts))

    return Step(
        "write the files for the host of Prometheus, here",
        done=done,
        do=do,
        by_hand=by_hand(
            "monitor",
            "written",
            namespace=account_namespace(scope),
            secret=ACCOUNT,
            token_file=scope.settings.token_file,
            ca_file=scope.settings.ca_file,
            rules=RULES,
        ),
    )


def _write(directory: Path, texts: Mapping[str, str]) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        (directory / "dashboards").mkdir(exist_ok=True)
    except OSError as error:
        raise DiskError(f"{directory}: cannot be written: {error.strerror or error}", hint="another --to") from None
    for name, text in texts.items():
        local.replace(directory / name, text.encode(), mode=0o600 if name == TOKEN else 0o644)


def _diff(directory: Path, texts: Mapping[str, str]) -> str:
    """Return the diffs of the files without a secret."""
    found = []
    for name, text in texts.items():
        path = directory / name
        if (old := _text(path)) != text:
            there = Found(old, "0644", "root:root") if path.exists() else None
            found.append(files.diff(File(str(path), text), there))
    return "".join(found)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def left_to_do(scope: Scope, directory: Path) -> str:
    """Return what is left to be done by hand, with the commands."""
    url = scope.settings.prometheus
    host = (urlsplit(url).hostname if url else "") or "HOST"
    there = "ha-runbooks-prometheus"
    lines = [
        "left to do by hand, since the host of Prometheus is not in hosts.yaml:",
        f"    scp -pr {directory} {f'[{host}]' if ':' in host else host}:{there}",
        f"then on {host}, as root, in {there}:",
        f"    install -m 640 -g prometheus {TOKEN} {scope.settings.token_file}",
        f"    install -m 644 {CA} {scope.settings.ca_file}",
        f"    install -m 644 rules.yml {RULES}",
        "    install -m 644 prometheus.yml /etc/prometheus/prometheus.yml",
        "        (a Prometheus that has other work: scrape.yml as one of its scrape_config_files, and the rules as one of its rule_files)",
        "    promtool check config /etc/prometheus/prometheus.yml && systemctl reload prometheus",
        f"    rm {TOKEN}",
    ]
    if scope.settings.operators:
        names = " ".join(map(str, scope.settings.operators))
        lines.append(
            f"node_exporter on {names}, with --collector.textfile.directory={scope.settings.textfiles}: it tells of the backups"
        )
    lines.append("dashboards/*.json are for Grafana; then, here: inv monitor.check" if url else _no_address())
    return "\n".join(lines)


def _no_address() -> str:
    return "dashboards/*.json are for Grafana; write its address in hosts.yaml (monitoring.prometheus), then: inv monitor.check"
