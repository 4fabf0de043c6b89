"""Whether the load balancers of the twin are configured as those of the site were when the set was made."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from lab.control import Lab
from rehearse import host_files
from runbooks.backup.sets.opened import Opened
from runbooks.commands import lb_paths
from runbooks.errors import RunbookError
from runbooks.inventory.model import Site

OWN: Final = re.compile(r"^\s*(auth_pass|description ha-runbooks) .*\n", re.MULTILINE)  # a secret, and the digest of the file
FILES: Final = (lb_paths.HAPROXY_CFG, lb_paths.KEEPALIVED_CONF)


def differing(lab: Lab, site: Site, opened: Opened, real: Site) -> list[str]:
    """Return which files of the set's load balancers are not as `lb.setup` wrote them on the twin, in words. Their text is not told.

    ``real``: the whole site. Its hosts that have no twin are no servers there, which is no difference.
    """
    rows = []
    away = [host.name for host in real.hosts if host not in site.hosts]
    for host in site.load_balancers:
        kept = host_files.of_set(opened, host, lambda path: path in FILES) or {}
        try:
            there = {path: lab.console(host.name, ["cat", path]).stdout for path in FILES}
        except (RunbookError, OSError):
            continue  # a host that is off cannot be compared
        for path, here in there.items():
            if path in kept and compared(kept[path], away) != compared(here):
                rows.append(f"{host}: {path} was another one than lb.setup writes (inv lb.setup --plan shows the difference)")
    return rows


def compared(text: str, away: Sequence[str] = ()) -> str:
    r"""Return a file without what differs in any case: secret and digest, and the servers that are ``away``.

    >>> compared("a\n    server worker2 10.1.1.2:80 check\n    server worker1 10.1.1.1:80 check\n", ["worker2"])
    'a\n    server worker1 10.1.1.1:80 check\n'
    """
    lines = OWN.sub("", text).splitlines(keepends=True)
    return "".join(line for line in lines if line.split()[:1] != ["server"] or line.split()[1:2] not in [[name] for name in away])
