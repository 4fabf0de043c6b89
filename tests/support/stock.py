"""What a cluster holds for the tests of backups: some thousand objects whose content is known."""

from __future__ import annotations

from typing import Any

STOCK = "stock"  # the namespace
HOST_DIRECTORY = "/var/lib/ha-runbooks/backup-test"
CONFIG_MAPS, SECRETS, WIDGETS = 2000, 200, 50


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
