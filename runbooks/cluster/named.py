"""Files that the control plane names and kubeadm does not make, copied to a host before it joins.

kubeadm gives every control plane host the same flags. Without the file that a flag names, such as the CA of --oidc-ca-file, its API
server does not start.
"""

from __future__ import annotations

from typing import Final

from runbooks.commands import named_files
from runbooks.engine.channel import Source
from runbooks.engine.steps import Run
from runbooks.errors import CommandError, RunbookError
from runbooks.inventory.model import Host
from runbooks.view import named

# Made by kubeadm or by `cluster.prepare` on each host: for that host alone, or sent by kubeadm itself.
MADE: Final = (
    *(
        f"/etc/kubernetes/pki/{name}.{end}"
        for name in ("ca", "apiserver", "front-proxy-ca", "front-proxy-client")
        for end in ("crt", "key")
    ),
    *(f"/etc/kubernetes/pki/apiserver-{name}-client.{end}" for name in ("kubelet", "etcd") for end in ("crt", "key")),
    "/etc/kubernetes/pki/sa.key",
    "/etc/kubernetes/pki/sa.pub",
    *(
        f"/etc/kubernetes/pki/etcd/{name}.{end}"
        for name in ("ca", "server", "peer", "healthcheck-client")
        for end in ("crt", "key")
    ),
    *(f"/etc/kubernetes/{name}.conf" for name in ("admin", "super-admin", "kubelet", "controller-manager", "scheduler")),
    "/etc/kubernetes/manifests",
    "/etc/kubernetes/ha-runbooks-parked",
    "/etc/kubernetes/audit-policy.yaml",
    "/var/lib/kubelet",
)
MOST: Final = 64 << 20  # bytes


def copy(run: Run, source: Host, host: Host) -> None:
    """Copy to ``host`` what the control plane of ``source`` names and ``host`` lacks. Raises RunbookError when that fails."""
    try:
        wanted = named.look(run, source, MADE, directories=False).save
    except RunbookError as error:  # as a rule there is no such file
        run.note(host, f"which files the control plane of {source} names is not known, so none was copied: {error}")
        return
    lacking = run.read(host, named_files.lacking(wanted)) if wanted else ()
    if not lacking:
        return
    archive = bytearray()

    def take(data: bytes) -> None:
        archive.extend(data)
        if len(archive) > MOST:
            raise CommandError(f"{source}: the files that its control plane names have more than {MOST >> 20} MiB")

    run.change(source, named_files.send(lacking), take)
    run.change(host, named_files.place(), Source(len(archive), lambda: iter([bytes(archive)])))
    for path in lacking:
        run.note(host, f"{path} was copied from {source}: the control plane names it, and it was not here")
