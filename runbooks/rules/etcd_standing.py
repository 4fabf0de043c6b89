"""How many members of etcd are healthy, and how many more may fail: the same words in every command. Pure."""

from __future__ import annotations

from runbooks.inventory.model import Host
from runbooks.rules import etcd
from runbooks.rules.etcd import View
from runbooks.text import listed


def losses(healthy: int, voters: int) -> str:
    """Return how many members are healthy, and what the next loss means.

    >>> losses(5, 5), losses(3, 5)
    ('5 of 5 members are healthy; 2 more may fail', '3 of 5 members are healthy; one more loss stops all writes')
    >>> losses(1, 3), losses(1, 1)
    ('1 of 3 members is healthy, 2 are needed: nothing can be written', '1 of 1 member is healthy; one more loss stops all writes')
    """
    counted = f"{healthy} of {voters} {'member' if voters == 1 else 'members'} {'is' if healthy == 1 else 'are'} healthy"
    spare = healthy - etcd.quorum(voters)
    if spare < 0:
        return f"{counted}, {etcd.quorum(voters)} are needed: nothing can be written"
    return f"{counted}; {f'{spare} more may fail' if spare else 'one more loss stops all writes'}"


def standing(view: View) -> str:
    """Return how many of the voters are healthy, and what the next loss means; "" when no member can read the member list.

    A member that reads with a quorum proves that there is one, however few members this machine reaches.
    """
    votes = etcd.voters(view.members)
    ids = etcd.healthy_ids(view)
    healthy = sum(member.id in ids for member in votes)
    if healthy < etcd.quorum(len(votes)) and has_quorum(view):
        return f"{healthy} of {len(votes)} members {'answers' if healthy == 1 else 'answer'} here; etcd has its quorum; the others could not be asked"
    return losses(healthy, len(votes)) if votes else ""


def has_quorum(view: View) -> bool:
    """Return whether a member has just read with a quorum, so that a majority of the members works."""
    return any(look.serves for look in view.looks.values())


def beyond_reach(view: View) -> list[Host]:
    """Return the control plane hosts that do not answer this machine: their members may work all the same."""
    return [host for host, said in view.said.items() if isinstance(said, str)]


def before_a_restore(view: View, otherwise: str) -> str:
    """Return the hint of a refusal for lack of healthy members. ``otherwise`` is what to do when the members are really down.

    What this machine does not reach may be in service, and a restore beside it would make two clusters: its connection comes first.
    """
    if away := beyond_reach(view):
        return f"first check the connection of this machine to {listed(away)}: they may be in service; only if they are down: {otherwise}"
    return otherwise


def without(view: View, host: Host) -> View:
    """Return the view without what ``host`` said."""
    return View({each: said for each, said in view.said.items() if each != host})
