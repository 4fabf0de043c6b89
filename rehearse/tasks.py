"""Rehearse a procedure on a twin of the site before it is carried out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbooks.engine.tasks import Given, forwarding

if TYPE_CHECKING:
    from runbooks.engine.session import Session


@forwarding(
    positional=["procedure"],
    iterable=["upgrade"],
    help={
        "procedure": "the command, then its own flags: upgrade.run --to 1.36.2",
        "backup": "make the twin from this set (inv backup.list); default: the newest good one",
        "identity": "file of age's private key, for an encrypted set",
        "kubernetes": "where the set's version of Kubernetes comes from: a directory, a release or debian, as for lab.up",
        "upgrade": "the same for the version to upgrade to; default: that of --to",
        "mirror": "address of a copy of the releases, instead of the official places",
        "workers": "which workers get a twin, separated by commas; none: no one; default: the first",
        "lose": "these hosts are empty machines when the procedure begins, separated by commas",
        "lab": "name of the lab that the twin is in",
        "keep": "leave the twin for a look; it holds the real site's secrets",
        "save": "keep a save of the twin, which makes the next rehearsal with this set faster; it holds the real site's secrets",
    },
)
def rehearse(  # noqa: PLR0913 - flags
    session: Session,
    procedure: Given,
    *,
    backup: str = "",
    identity: str = "",
    kubernetes: str = "",
    upgrade: list[str] | None = None,
    mirror: str = "",
    workers: str = "",
    lose: str = "",
    lab: str = "rehearsal",
    keep: bool = False,
    save: bool = False,
) -> None:
    """Try a procedure on a twin of the site.

    Builds the twin in the lab from a backup set (same names, addresses, version; etcd's real objects, PKI), carries the procedure out
    there, and reports: would it get through, where it stops, how long it takes, what clients see, what of the API breaks. Connects to no
    host of the site. The twin has no way out of its network and is destroyed at the end, also after a crash. Exit status: the procedure's.
    """
    flags = {name: value for name, value in locals().items() if name not in {"session", "procedure"}}
    from rehearse.course import rehearse as carry_out  # noqa: PLC0415 - start-up time
    from rehearse.rules.choices import Choices  # noqa: PLC0415

    carry_out(session, procedure, Choices(**flags | {"upgrade": tuple(upgrade or ())}))
