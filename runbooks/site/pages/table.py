"""The pages that exist, and the commands that have none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from runbooks.backup import pages as backup_pages
from runbooks.cluster import pages as cluster_pages
from runbooks.day2 import pages as day2_pages
from runbooks.drill import pages as drill_pages
from runbooks.etcd import pages as etcd_pages
from runbooks.inventory.model import Site
from runbooks.lb import pages as lb_pages
from runbooks.monitor import pages as monitor_pages
from runbooks.pages.page import Page
from runbooks.recover import pages as recover_pages
from runbooks.upgrade import pages as upgrade_pages

# Commands that have steps but no page, and the reason.
PAGELESS: Final[Mapping[str, str]] = {
    "backup.decrypt": "`age --decrypt --identity FILE` of every file of a set: [backup](../backup.md)",
    "backup.schedule": "one line in a crontab, or one timer: [backup](../backup.md)",
    "drill.all": "the pages of the drills, one after the other: drill.kubelet, drill.apiserver ...",
    "backup.unschedule": "that line or timer is deleted again",
}


def pages(site: Site) -> list[Page]:
    """Return every page of ``site``, in the order of the chapters. A site without ``backup`` has no backup pages."""
    backup = backup_pages.BACKUP if site.backup else ()
    chapters = (
        *lb_pages.LB,
        *cluster_pages.CLUSTER,
        *day2_pages.DAY2,
        *etcd_pages.ETCD,
        *backup,
        *recover_pages.RECOVER,
        *upgrade_pages.UPGRADE,
    )
    return [*(build(site) for build in (*chapters, *monitor_pages.MONITOR)), *drill_pages.pages(site)]
