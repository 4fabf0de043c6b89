"""Whose cordon a node has. A node that was found cordoned stays cordoned. Pure.

Our own cordon is written together with a mark on the Node (`commands.drain.cordon`), so that any machine, also after a killed run, can
tell it from one that somebody else set. Never takes away a cordon without the mark.
"""

from __future__ import annotations

from typing import Literal

from runbooks.commands.drain_objects import Node

Cordon = Literal["none", "ours", "found"]


def cordon_of(node: Node) -> Cordon:
    """Return "ours" for the cordon of our own drain, "found" for one that somebody else set."""
    return "none" if not node.cordoned else "ours" if node.marked else "found"


def is_stale(node: Node) -> bool:
    """Return whether the mark is left from a cordon that somebody has taken away by hand: to be removed before the next drain."""
    return node.marked and not node.cordoned
