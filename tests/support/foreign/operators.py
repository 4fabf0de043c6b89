"""Operators of foreign clusters: their lab, built once and kept as a save, and what the tests of both clusters ask of them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lab import saves
from lab.control import Lab
from lab.kubernetes import Kubernetes
from runbooks.errors import RunbookError
from tests.support.foreign import clusters
from tests.support.lab import name
from tests.support.operator import Operator
from tests.support.stock import HOST_DIRECTORY

MARK = "kept-by-somebody"  # a ConfigMap that was there before this tool


@contextmanager
def operator(kind: str, masters: int, directory: Path) -> Iterator[Operator]:
    """Build the cluster of ``kind`` in a lab of its own, for an operator who has only what `site.adopt` has found. HA_LAB_KEEP=1 boots yesterday's."""
    keep = os.environ.get("HA_LAB_KEEP") == "1"
    lab = Lab(f"{name()}-{kind}{masters}", say=lambda text: print(text, flush=True))
    kept = lab.instance.name
    lab.down()
    site = clusters.write_site(directory / "hosts.yaml", kind, masters)
    try:
        if keep and kept in [save.name for save in saves.all_of()]:
            lab.up_from(kept, site)
        else:
            lab.up(site, kubernetes=Kubernetes())
            clusters.build(lab, kind, masters)
            clusters.kubectl(
                lab, clusters.hosts_of("control-plane", kind)[0], "create", "configmap", MARK, "--from-literal=word=kept"
            )
            if keep:
                lab.save(kept)
        somebody = Operator(lab, directory)
        adopt(somebody, clusters.hosts_of("control-plane", kind)[0])
        backup = {"directory": str(directory / "sets"), "host_directory": HOST_DIRECTORY}
        somebody.edit(lambda site: site.update(backup=backup))
        yield somebody
    finally:
        lab.down()
        if not keep:
            with suppress(RunbookError):
                saves.forget(kept)


def adopt(somebody: Operator, host: str) -> None:
    """Find the site again from the control plane host ``host`` alone; from then on the operator has that file."""
    clusters.run(
        somebody.lab, host, "until kubectl --kubeconfig=/etc/kubernetes/admin.conf get nodes >/dev/null 2>&1; do sleep 1; done"
    )
    found = somebody.directory / "adopted" / "hosts.yaml"
    found.parent.mkdir()
    address = str(somebody.lab.site().host(host).address)
    somebody.good("site.adopt", "--host", address, "--output", str(found), "--yes", timeout_s=300)
    somebody.site = found


def is_kept(somebody: Operator, host: str) -> bool:
    """Whether the object that was there before this tool is there, asked at the API server of ``host``."""
    found = clusters.kubectl(somebody.lab, host, "get", "configmap", MARK, "-o", "jsonpath={.data.word}")
    return found == "kept"


def seen(somebody: Operator, severity: str, *words: str) -> set[str]:
    """Return the topics of a command's findings of that severity, without the load of the machine below the lab."""
    said = json.loads(somebody.inv(*words, "--json").stdout.splitlines()[0])
    return {each["topic"] for each in said["findings"] if each["severity"] == severity} - {"load"}


def lose_data(somebody: Operator, host: str, data: str) -> None:
    """Take the data of the member on ``host``, which has them in ``data``, while it runs."""
    clusters.run(somebody.lab, host, f"systemctl stop kubelet; pkill -9 -x etcd; rm -rf {data}/member; systemctl start kubelet")


def members(somebody: Operator) -> dict[str, str]:
    """Return the IDs of etcd's members by their names."""
    return {each["name"]: each["id"] for each in json.loads(somebody.good("etcd.members", "--json"))}
