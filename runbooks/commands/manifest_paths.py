"""Where the objects of a manifest are in the API.

https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-uris
"""

from __future__ import annotations

import re

from runbooks.commands import yaml_text

# The resource of each kind that pod networks consist of. What Kubernetes itself has, in any version of its API: the answer to a version
# that it no longer has is 404.
IN_NAMESPACES = {
    "ConfigMap": "configmaps",
    "DaemonSet": "daemonsets",
    "Deployment": "deployments",
    "Role": "roles",
    "RoleBinding": "rolebindings",
    "Secret": "secrets",
    "Service": "services",
    "ServiceAccount": "serviceaccounts",
}
CLUSTER_WIDE = {
    "ClusterRole": "clusterroles",
    "ClusterRoleBinding": "clusterrolebindings",
    "CustomResourceDefinition": "customresourcedefinitions",
    "Namespace": "namespaces",
}
GROUPS = frozenset({"", "apps", "rbac.authorization.k8s.io", "apiextensions.k8s.io"})
_WORD = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.:_-]*[A-Za-z0-9])?")  # needs no quoting in a path


def paths(manifest: str) -> tuple[str, ...]:
    """Return the API path of every object of ``manifest`` (YAML text); () when that of any of them cannot be told.

    >>> paths("{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: a, namespace: b}}")
    ('/apis/apps/v1/namespaces/b/daemonsets/a',)
    """
    try:
        found = [_path(each) for each in yaml_text.documents(manifest) if each]
    except ValueError:
        return ()
    return tuple(found) if all(found) else ()


def _path(item: object) -> str:
    if not isinstance(item, dict) or not isinstance(meta := item.get("metadata"), dict):
        return ""
    api, kind, name, namespace = item.get("apiVersion"), item.get("kind"), meta.get("name"), meta.get("namespace", "default")
    words = (kind, name, namespace)
    if not isinstance(api, str) or not all(isinstance(each, str) and _WORD.fullmatch(each) for each in (*words, *api.split("/"))):
        return ""
    if api.rpartition("/")[0] not in GROUPS:
        return ""
    top = f"/apis/{api}" if "/" in api else f"/api/{api}"
    if kind in IN_NAMESPACES:
        return f"{top}/namespaces/{namespace}/{IN_NAMESPACES[kind]}/{name}"
    return f"{top}/{CLUSTER_WIDE[kind]}/{name}" if kind in CLUSTER_WIDE else ""
