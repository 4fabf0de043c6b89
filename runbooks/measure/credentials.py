"""A kubeconfig as what a TLS connection needs. Private keys are on no disk: OpenSSL reads them from files that have no name."""

from __future__ import annotations

import os
import ssl
import tempfile
from base64 import b64decode
from binascii import Error
from collections.abc import Iterator
from contextlib import contextmanager

from runbooks.commands import kubeconfig
from runbooks.errors import PrecheckError

HINT = "inv cluster.kubeconfig --force writes one that works"


def tls(text: str) -> tuple[ssl.SSLContext, dict[str, str]]:
    """Return the TLS settings for the one cluster and user in the kubeconfig ``text``, and the headers of its requests.

    The server has to have a certificate of the cluster's CA. Raises PrecheckError when the CA, or both the certificate with its key and
    a token are missing or cannot be used. Files and programs that a kubeconfig may name are not used: kubeadm's admin.conf has none.
    """
    try:
        login = kubeconfig.login(text)
        authorities = b"\n".join(map(b64decode, kubeconfig.parse(text).authorities))
        certificate, key = b64decode(login.certificate), b64decode(login.key)
    except (ValueError, Error):
        raise PrecheckError("the kubeconfig cannot be read", hint=HINT) from None
    if not authorities or not ((certificate and key) or login.token):
        raise PrecheckError("the kubeconfig has no CA, or neither a client certificate with its key nor a token", hint=HINT)
    try:
        context = ssl.create_default_context(cadata=authorities.decode())
        # As kubectl: a site's own CA may lack extensions that newer versions of Python ask for.
        context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", ssl.VerifyFlags(0))
        context.set_alpn_protocols(["http/1.1"])
        if certificate and key:
            with _unnamed(certificate) as certificate_file, _unnamed(key) as key_file:
                context.load_cert_chain(certificate_file, key_file)
    except (ssl.SSLError, OSError, ValueError):
        raise PrecheckError("the certificates in the kubeconfig cannot be used", hint=HINT) from None
    return context, {} if certificate and key else {"Authorization": f"Bearer {login.token}"}


@contextmanager
def _unnamed(content: bytes) -> Iterator[str]:
    """Yield a path by which only this process can read ``content``, on no disk where the system can do that."""
    made = os.fdopen(os.memfd_create("pem"), "w+b") if hasattr(os, "memfd_create") else tempfile.TemporaryFile()  # noqa: SIM115
    with made as file:
        file.write(content)
        file.flush()
        file.seek(0)
        yield f"/dev/fd/{file.fileno()}"
