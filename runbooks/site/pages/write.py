"""`inv site.pages`: write the pages and their files, or check that they are up to date."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from runbooks.errors import DiskError, InventoryError, OutcomeError
from runbooks.inventory.model import Site
from runbooks.monitor import page as monitor_page
from runbooks.monitor import rule_file
from runbooks.monitor.rules.scope import Scope
from runbooks.pages import page
from runbooks.render import ROOT
from runbooks.site.pages import files, table
from runbooks.text import counted

if TYPE_CHECKING:
    from runbooks.engine.session import Session

SHIPPED = ROOT / "docs" / "runbooks"


def everything(site: Site) -> dict[str, str]:
    """Return every page and file of ``site``, by its path below the folder."""
    alerts = {rule_file.PAGE: monitor_page.text(Scope(site))}
    return page.written(site, table.pages(site), table.PAGELESS) | alerts | files.files(site)


def stale(wanted: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Return the files in ``folder`` that are out of date, each with "missing", "differs" or "not wanted"."""
    found = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    wrong = dict.fromkeys(wanted.keys() - found.keys(), "missing")
    wrong |= dict.fromkeys(found.keys() - wanted.keys(), "not wanted")
    wrong |= {name: "differs" for name, path in found.items() if name in wanted and path.read_bytes() != wanted[name].encode()}
    return dict(sorted(wrong.items()))


def show(session: Session, to: str, *, check: bool) -> None:
    """Write the pages of the session's site to ``to``, or with ``check`` only compare them.

    Without ``to`` the folder is docs/runbooks of the checkout, which is only for the checkout's own hosts.yaml. Raises OutcomeError
    when ``check`` finds a page that is out of date, InventoryError when the site is another one, DiskError when a file cannot be written.
    """
    if not to and session.site_file.resolve() != (ROOT / "hosts.yaml").resolve():
        raise InventoryError(f"{SHIPPED} is for {ROOT / 'hosts.yaml'}, not for {session.site_file}", hint="--to DIR")
    folder = Path(to).expanduser() if to else SHIPPED
    wanted = everything(session.site)
    wrong = stale(wanted, folder)
    if not check:
        _write(wanted, folder)
    if session.options.json:
        print(json.dumps({"folder": str(folder), "pages": len(wanted), "stale": wrong}))
    else:
        for name, how in wrong.items():
            print(f"{folder / name}: {how if check else 'written' if name in wanted else 'no longer needed: delete it'}")
        print(f"{folder}: {len(wanted)} pages and files, {len(wrong) or 'none'} out of date{'' if check else ' before'}")
    if check and wrong:
        raise OutcomeError(f"{folder}: {counted(len(wrong), 'file')} out of date", hint=_command(to))


def _command(to: str) -> str:
    return f"{page.REFRESH} --to {to}" if to else page.REFRESH


def _write(wanted: Mapping[str, str], folder: Path) -> None:
    for name, text in wanted.items():
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise DiskError(f"{path}: cannot be written: {error.strerror or error}", hint="another --to") from None
