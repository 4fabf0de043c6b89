"""Whether a command that upgrades something is at work on the site now: it holds the site's lock."""

from __future__ import annotations

from runbooks.commands import lock
from runbooks.commands.lock import Held, Holder
from runbooks.engine.lock import has_ended
from runbooks.engine.steps import Run
from runbooks.rules.finding import Finding
from runbooks.rules.verify_versions import UPGRADE, is_upgrade, meanwhile


def who(run: Run) -> Holder | None:
    """Return the command that upgrades the site now, or None. Hosts that do not answer are left out: others have the lock too."""
    said = run.read_each(dict.fromkeys(run.site.hosts, lock.show(run.site.name)), fresh=True)
    holders = [each.holder for each in said.values() if isinstance(each, Held)]
    return next((each for each in holders if is_upgrade(each) and not has_ended(each)), None)


def told(run: Run, found: list[Finding]) -> list[Finding]:
    """Return the findings; if one says that an upgrade is unfinished, and it runs now, it says so. Only then is the lock looked at."""
    return meanwhile(found, who(run)) if any(each.topic == UPGRADE for each in found) else found
