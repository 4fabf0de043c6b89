"""What a cluster holds for the tests of backups and recoveries: some thousand objects whose content is known."""

from __future__ import annotations

import json
import subprocess
import time
from typing import Any

from lab.control import Lab
from tests.support.operator import Operator
from tests.support.waiting import eventually

KUBECTL = ["kubectl", "--kubeconfig=/etc/kubernetes/admin.conf"]
STOCK = "stock"  # the namespace
HOST_DIRECTORY = "/var/lib/ha-runbooks/backup-test"
CONFIG_MAPS, SECRETS, WIDGETS = WHOLE = 2000, 200, 50


def thing(kind: str, number: int, version: str = "v1", **content: Any) -> dict[str, Any]:
    """Return one object of the stock."""
    metadata = {"name": f"{kind.lower()}-{number:04}", "namespace": STOCK, "labels": {"number": str(number)}}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **content}


def stock() -> list[dict[str, Any]]:
    """Return what the cluster holds for the backups' tests: some thousand objects whose content is known."""
    names = {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"}
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    spec = {"group": "stock.example", "scope": "Namespaced", "names": names, "versions": [version]}
    found: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": STOCK}},
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": "widgets.stock.example"},
            "spec": spec,
        },
    ]
    found += [thing("ConfigMap", number, data={"number": str(number), "text": "x" * 1000}) for number in range(CONFIG_MAPS)]
    found += [thing("Secret", number, stringData={"password": f"swordfish-{number}"}) for number in range(SECRETS)]
    return found


def widgets() -> list[dict[str, Any]]:
    """Return the custom resources of the stock; they can be made once their definition is served."""
    return [thing("Widget", number, "stock.example/v1", spec={"size": number}) for number in range(WIDGETS)]


def fill(lab: Lab) -> None:
    """Create the stock, unless all of it is there."""
    there = lab.console("master1", [*KUBECTL, "get", "widgets.stock.example", "-n", STOCK, "-o", "name"])
    if len(there.stdout.splitlines()) == WIDGETS:
        return
    for objects in (stock(), widgets()):
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        lab.console("master1", [*KUBECTL, "create", "-f", "-"], stdin=text, timeout_s=300)
        lab.console("master1", [*KUBECTL, "wait", "--for=condition=established", "crd/widgets.stock.example"], check=True)


def kubectl(operator: Operator, *words: str, host: str = "master1") -> subprocess.CompletedProcess[str]:
    return operator.lab.console(host, [*KUBECTL, *words], timeout_s=60)


def counted(operator: Operator, host: str = "master1") -> tuple[int, int, int]:
    """Return how many objects of the stock there are."""
    kinds = ("configmaps", "secrets", "widgets.stock.example")
    each = [kubectl(operator, "-n", STOCK, "get", kind, "-l", "number", "-o", "name", host=host).stdout.split() for kind in kinds]
    return len(each[0]), len(each[1]), len(each[2])


def works(operator: Operator) -> None:
    """Old objects can be deleted and made again, new ones made, and controllers see them."""
    old = "configmap-0007"
    gone = kubectl(operator, "-n", STOCK, "delete", "configmap", old)
    assert gone.returncode == 0, gone.stderr
    text = json.dumps({"number": "7", "text": "x" * 1000})
    again = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": old, "namespace": STOCK, "labels": {"number": "7"}}}
    made = operator.lab.console("master1", [*KUBECTL, "create", "-f", "-"], stdin=json.dumps({**again, "data": json.loads(text)}))
    assert made.returncode == 0, made.stderr
    space = f"proof-{time.time_ns()}"
    assert kubectl(operator, "create", "namespace", space).returncode == 0
    # The controller-manager has to see it: it makes the default account, without which no Pod is let in.
    eventually(lambda: kubectl(operator, "-n", space, "get", "serviceaccount", "default").returncode == 0)
    pod = {"containers": [{"name": "a", "image": "nowhere.example/none:1"}], "tolerations": [{"operator": "Exists"}]}
    manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": space}, "spec": pod}
    made = operator.lab.console("master1", [*KUBECTL, "create", "-f", "-"], stdin=json.dumps(manifest))
    assert made.returncode == 0, made.stderr
    # The scheduler has to see it, and a kubelet: it says that the image is nowhere.
    words = (
        "-n",
        space,
        "get",
        "pod",
        "a",
        "-o",
        "jsonpath={.spec.nodeName} {.status.containerStatuses[0].state.waiting.reason}",
    )
    eventually(lambda: "Pull" in kubectl(operator, *words).stdout)
    kubectl(operator, "delete", "namespace", space, "--wait=false")
