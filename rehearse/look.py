"""What is read of the twin after the procedure: which API it serves, and what its components warned of."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from lab.control import Lab
from rehearse.adapt import KUBECTL, kubectl
from rehearse.rules.apis import Versions, plurals
from runbooks.engine import history
from runbooks.engine.history import RunRecord
from runbooks.errors import RunbookError
from runbooks.inventory.locate import state_directory
from runbooks.inventory.model import Site

# What the components themselves say of the flags and settings that they were started with.
WARNED: Final = r"""
grep -hoiE 'Flag --[a-z0-9-]+ has been deprecated[^"]*|Setting GA feature gate [A-Za-z]+=[a-z]+[^"]*|Setting deprecated feature gate [A-Za-z]+=[a-z]+[^"]*' \
    /var/log/pods/kube-system_{kube-apiserver,kube-controller-manager,kube-scheduler,etcd}-*/*/*.log 2>/dev/null | sort -u | head -20
journalctl -q -u kubelet -o cat 2>/dev/null | grep -oiE 'Flag --[a-z0-9-]+ has been deprecated[^"]*' | sort -u | head -20
true
"""
ATTEMPTS: Final = 5
OURS: Final = re.compile(r"--(cgroup-driver|resolv-conf|fail-cgroupv1)\b")  # the rehearsal's own flags, see rules/kubelets.py


def served(lab: Lab, site: Site, wanted: Iterable[str]) -> Versions:
    """Return the plurals that the twin serves in each of the ``wanted`` versions of groups ("v1", "apps/v1"); {} when that is not known, as no API server answers."""
    host = _serving(lab, site)
    found = {}
    for version in sorted(set(wanted)) if host else ():
        path = f"/apis/{version}" if "/" in version else f"/api/{version}"
        names = _plurals(lab, host, path)
        if names is None:
            return {}
        found[version] = names
    return found


def _plurals(lab: Lab, host: str, path: str) -> frozenset[str] | None:
    """Return what is served at ``path``; None when the API server does not say it, asked several times."""
    for _ in range(ATTEMPTS):
        done = lab.console(host, [*KUBECTL, "get", "--raw", path])
        if (found := plurals(done.stdout, done.stderr)) is not None:
            return found
        time.sleep(2)
    return None


def _serving(lab: Lab, site: Site) -> str:
    """Return a control plane host on which kubectl gets an answer, "" for none. A procedure may have removed the first one."""
    for host in site.control_plane:
        with suppress(RunbookError):
            if kubectl(lab, site, "get", "--raw", "/readyz", check=False, host=host.name).strip() == "ok":
                return host.name
    return ""


def warnings(lab: Lab, site: Site) -> dict[str, list[str]]:
    """Return what components say of their own flags, and on which hosts."""
    found: dict[str, list[str]] = {}
    for host in site.nodes:
        with suppress(RunbookError):  # it is off
            for line in lab.console(host.name, ["bash", "-c", WARNED]).stdout.splitlines():
                if not OURS.search(line):
                    found.setdefault(line.strip(), []).append(host.name)
    return found


def runs(lab: Lab, site: Site, seen: Iterable[str] = ()) -> list[RunRecord]:
    """Return the runs that the twin's own reports have, the oldest first, without those that were ``seen``."""
    known = set(seen)
    found = history.newest(directory(lab.instance.site, site))
    return sorted((run for run in found if run.run not in known), key=lambda run: run.begun)


def directory(site_file: Path, site: Site) -> Path:
    """Return the directory of the reports of a site."""
    return state_directory(site_file, site) / "runs"
