"""What hosts need to join a cluster: one token and one upload of certificates for all hosts of a run."""

from __future__ import annotations

import secrets
import string
from dataclasses import dataclass
from threading import Lock
from time import monotonic

from runbooks.cluster import members
from runbooks.commands.base import Secret
from runbooks.commands.kubeadm import Admission
from runbooks.engine.steps import Run
from runbooks.inventory.model import Host, Site
from runbooks.rules import kubeadm as config

FRESH_S = 600  # a token is given to hosts that begin to join within this time; it is valid longer (kubeadm.TTL, TOKEN_TTL)


@dataclass(frozen=True, slots=True)
class Given:
    """``admission`` is for every host. ``key`` decrypts the uploaded certificates, None when there are none."""

    admission: Admission
    key: Secret | None
    made: float


class Offer:
    """Makes the token and the upload when the first host needs them, and keeps them in memory only.

    The cluster has room for one upload. A second one, with another key, would take it away from a host that has begun to join: so
    all hosts use the same, also those that join at the same time. Nothing is uploaded for workers alone.
    """

    def __init__(self, site: Site, version: config.Version) -> None:
        self._site = site
        self._version = version
        self._lock = Lock()
        self._given: Given | None = None

    def keep(self, admission: Admission, key: Secret) -> None:
        """Use what `kubeadm init` has just made in this run."""
        with self._lock:
            self._given = Given(admission, key, monotonic())

    def take(self, run: Run, api_host: Host, *, certificates: bool) -> Given:
        """Return what a host joins with; ``api_host`` makes it if there is nothing fresh. Raises RunbookError.

        ``certificates``: the host needs those of the control plane.
        """
        with self._lock:
            lacks_key = certificates and self._given and not self._given.key
            if not self._given or lacks_key or monotonic() - self._given.made > FRESH_S:
                key = new_key() if certificates else None
                offer = config.upload_certs_config(self._site, api_host, self._version, key) if key else None
                self._given = Given(members.join_credentials(run, api_host, offer), key, monotonic())
            return self._given

    def withdraw(self, used: Given) -> None:
        """Do not use these any more: a join with them has failed, and somebody else may have replaced the upload."""
        with self._lock:
            if self._given is used:
                self._given = None


def new_key() -> Secret:
    """Return a certificate key."""
    return Secret(secrets.token_hex(32))


def new_token() -> Secret:
    """Return a bootstrap token."""
    letters = string.ascii_lowercase + string.digits
    first, second = ("".join(secrets.choice(letters) for _ in range(length)) for length in (6, 16))
    return Secret(f"{first}.{second}")
