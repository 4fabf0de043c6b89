"""Whether the load balancers of the twin are configured as those of the site were when the set was made."""

from __future__ import annotations

import io
import re
import tarfile
from typing import Final

from lab.control import Lab
from runbooks.backup.sets.opened import Opened
from runbooks.commands import lb_paths
from runbooks.errors import RunbookError
from runbooks.inventory.model import Site

OWN: Final = re.compile(r"^\s*(auth_pass|description ha-runbooks) .*\n", re.MULTILINE)  # a secret, and the digest of the file
FILES: Final = (lb_paths.HAPROXY_CFG, lb_paths.KEEPALIVED_CONF)


def differing(lab: Lab, site: Site, opened: Opened) -> list[str]:
    """Return which files of the set's load balancers are not as `lb.setup` wrote them on the twin, in words. Their text is not told."""
    rows = []
    for host in site.load_balancers:
        try:
            kept = _of_set(opened, f"hosts/{host}.tar.gz")
            there = {path: lab.console(host.name, ["cat", path]).stdout for path in FILES}
        except (RunbookError, tarfile.TarError, OSError):
            continue  # the report says what the set lacks; a host that is off cannot be compared
        for path, here in there.items():
            if path in kept and OWN.sub("", kept[path]) != OWN.sub("", here):
                rows.append(f"{host}: {path} was another one than lb.setup writes (inv lb.setup --plan shows the difference)")
    return rows


def _of_set(opened: Opened, name: str) -> dict[str, str]:
    content = io.BytesIO(b"".join(opened.chunks(name)))
    found = {}
    with tarfile.open(fileobj=content) as archive:
        for each in archive:
            path = f"/{each.name.lstrip('./')}"
            if path in FILES and (file := archive.extractfile(each)):
                found[path] = file.read().decode(errors="replace")
    return found
