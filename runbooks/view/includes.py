"""Read all files that a keepalived.conf includes, and those that these include."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from runbooks.commands import keepalived_includes as includes
from runbooks.commands.base import Probe
from runbooks.commands.keepalived_includes import Includes
from runbooks.errors import PrecheckError
from runbooks.text import listed


def gather(ask: Callable[[Probe[Includes]], Includes], host: object, files: Mapping[str, str]) -> Includes:
    """Return what ``files`` (texts by path) of ``host`` include; one round trip for each level.

    Raises PrecheckError when files include each other, and when there are too many of them: keepalived would not come to an end, either.
    """
    found, left = Includes(), {one for path, text in files.items() for one in includes.wanted(path, text)}
    for _ in range(includes.DEEPEST):
        if not left:
            break
        more = ask(includes.look(sorted(left)))
        found = found.and_(more)
        if len(found.texts) > includes.MOST:
            raise PrecheckError(
                f"{host}: keepalived includes more than {includes.MOST} files ({listed(f'`include {each.name}`' for each in sorted(left)[:3])} ...)",
                hint=f"on {host}: make fewer of them, or include fewer; then again",
            )
        left = {one for path, text in more.texts.items() for one in includes.wanted(path, text)} - found.files.keys()
    for path, text in files.items():
        if circle := includes.circle(path, text, found):
            raise PrecheckError(
                f"{host}: these files of keepalived include each other: {' -> '.join(circle)}",
                hint=f"on {host}: take one of these `include` lines out; then again",
            )
    if left:
        raise PrecheckError(
            f"{host}: keepalived's files include others over more than {includes.DEEPEST} levels, the last one is "
            f"`include {min(left).name}` in {min(left).directory}",
            hint=f"on {host}: include them from {next(iter(files))}; then again",
        )
    return found
