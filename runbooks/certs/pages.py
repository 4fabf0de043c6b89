"""The pages of the certificates' commands, to follow by hand."""

from __future__ import annotations

from pathlib import Path

from runbooks.certs.renew import procedure
from runbooks.certs.steps import Renewal
from runbooks.inventory.model import Site
from runbooks.pages.page import Page

KUBECONFIG = Path("kubeconfig")  # the operator's own; its page does not name it


def renew(site: Site) -> Page:
    """Every control plane host, one at a time."""
    return Page(procedure(Renewal(site, {}), site.control_plane, KUBECONFIG), given="the control plane is in service")
