"""The one line that takes a setting out of the file where it stands. Pure."""

from __future__ import annotations

import re
import shlex
from typing import Final

from runbooks.upgrade.rules.settings import GATES, KUBEADM_MAP, PROXY_MAP, PROXY_SET, Setting
from runbooks.upgrade.rules.tables import Row

EDIT: Final = "kubectl -n kube-system edit configmap"
# The keys of hosts.yaml from which `cluster.init` fills the ConfigMaps: a new cluster would get the setting again.
KEYS: Final = {
    "apiServer.extraArgs": "kubernetes.extra_args.api_server",
    "controllerManager.extraArgs": "kubernetes.extra_args.controller_manager",
    "scheduler.extraArgs": "kubernetes.extra_args.scheduler",
    "etcd.local.extraArgs": "kubernetes.extra_args.etcd",
}


def line(setting: Setting, row: Row, *, gone: bool) -> str:
    """Return the line. ``gone``: the whole item goes out; otherwise its value is one that is no longer taken."""
    if setting.kind == "api":
        return _api(setting, row)
    if setting.file.startswith("ConfigMap "):
        return _in_map(setting, row, gone=gone)
    if setting.kind == "flag" and gone and row.kind == "flag":
        return _sed(setting) + (f" # instead: {row.instead}" if row.instead else "")
    what = _what(setting, row, gone=gone)
    return f"in {setting.file}, {what}{_instead(row)}"


def _what(setting: Setting, row: Row, *, gone: bool) -> str:
    if setting.kind == "gate":
        where = f"--{GATES}" if setting.on_line else "featureGates"
        return f"take {setting.item} out of {where}" if gone else f"set {setting.item} to {row.value} in {where}, or take it out"
    name = f"--{setting.item}" if setting.kind == "flag" else setting.item
    return f"take {row.value} out of {name}" if row.value else f"take {name} out"


def _in_map(setting: Setting, row: Row, *, gone: bool) -> str:
    name, _, key = setting.file.removeprefix("ConfigMap ").partition(", ")
    head = f"{EDIT} {name}"
    if setting.kind == "gate" and key.endswith("extraArgs"):
        verb = f"take {setting.item} out of" if gone else f"set {setting.item} to {row.value} in"
        what = f"{verb} {GATES} in {key}"
    elif setting.kind == "gate":
        what = f"take {setting.item} out of featureGates" if gone else f"set {setting.item} to {row.value} in featureGates"
    elif row.value and setting.kind == "flag":
        what = f"take {row.value} out of {setting.item} in {key}"
    elif row.value:
        what = f"take {setting.item}: {row.value} out"
    else:
        what = f"take {setting.item} out{f' of {key}' if key else ''}"
    also = f"; the same in hosts.yaml, {KEYS[key]}, if it is there" if key in KEYS else _config_key(name)
    return f"{head}: {what}{_instead(row)}{also}"


def _config_key(name: str) -> str:
    key = {PROXY_MAP: "kubernetes.kube_proxy", KUBEADM_MAP: ""}.get(f"ConfigMap {name}", "kubernetes.kubelet")
    return f"; the same in hosts.yaml, {key}, if it is there" if key else ""


def _api(setting: Setting, row: Row) -> str:
    if setting.component == "kubeadm":
        return (
            "kubeadm config migrate, with a kubeadm that reads both; then kubeadm init phase upload-config kubeadm --config FILE"
        )
    return f"in {setting.file}, write it in apiVersion: {row.instead}"


def _instead(row: Row) -> str:
    return f" (instead: {row.instead})" if row.instead else ""


def _sed(setting: Setting) -> str:
    """Return the sed command that takes a flag out of a file, with its value; dashes in its name may be written as underscores.

    A DaemonSet is no file.
    """
    if setting.file == PROXY_SET:
        return f"kubectl -n kube-system edit daemonset kube-proxy: take --{setting.item} out"
    name = re.escape(setting.item).replace(r"\-", "[-_]")
    value = "=[^ \"']*" if setting.joined and setting.value else "" if setting.joined else "[ ]+[^ \"']+"
    script = f"s/--{name}{value}([ \"']|$)/\\1/"
    return f"sed -i -E {shlex.quote(script)} {shlex.quote(setting.file)}"
