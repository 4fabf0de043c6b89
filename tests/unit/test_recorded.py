"""Every answer in tests/recorded is read as its file says. A new version of a tool is a new file there."""

import gzip
import json
from base64 import b64decode
from dataclasses import fields, is_dataclass
from math import isinf

import pytest

from runbooks.backup.rules import unlisted
from runbooks.commands import (
    api_use,
    backup,
    containerd,
    drain,
    drain_look,
    etcd,
    etcd_flags,
    etcd_metrics,
    etcd_tools,
    haproxy,
    kubeadm,
    objects,
    rendered,
    runtime_dump,
    verify,
    versions,
)
from runbooks.local import restic
from runbooks.rules import runtime_taken_over
from runbooks.upgrade.rules import bolt, customised
from tests.support import refusals as refused
from tests.support.kubeadm import parse_preflight
from tests.support.recorded import FOLDER, recorded_answer, recording

pytestmark = pytest.mark.unit


def refusals(said):
    """Return what a set lacks, after the stream of backup-lists.sh in which every list was refused."""
    parts = dict(line.removeprefix("@! ").split(" ", 1) for line in said.stdout.splitlines() if line.startswith("@! "))
    return unlisted.missing(
        [part.removeprefix("resources/") for part in parts if part.startswith("resources/")], parts, "master1"
    )


def own_settings(said):
    """Return what somebody has set for that containerd, by name."""
    both = runtime_dump.parse_both(said)
    return {".".join(path): value for path, value in runtime_taken_over.own(both.dump, both.default)}


def counted(members):
    return {"ids": [member.id for member in members], "learners": sum(member.learner for member in members)}


PARSERS = {
    "backup refusals": refusals,
    "containerd configuration": lambda said: containerd.parse_config(said.stdout.splitlines()),
    "containerd own settings": own_settings,
    "drain": drain.parse_drain,
    "drain look": drain_look.parse_look,
    "etcd flags": etcd_flags.parse,
    "etcd look": etcd.parse_look,
    "etcd refused flags": refused.of_answers,
    "etcd keys": lambda said: backup.parse_keys(said.stdout, ("/registry/pods/", "/registry/secrets/", "/registry/none/")),
    "etcd members in a snapshot": lambda said: bolt.members(gzip.decompress(b64decode(said.stdout))),
    "etcd members in a large snapshot": lambda said: counted(bolt.members(gzip.decompress(b64decode(said.stdout)))),
    "etcd snapshot": lambda said: etcd_tools.parse_snapshot(said.stdout),
    "etcd metrics": etcd_metrics.parse_metrics,
    "kubeadm images": kubeadm.parse_images,
    "kubeadm manifests": lambda said: {name: customised.meaning(each) for name, each in rendered.parse(said).manifests.items()},
    "kubeadm preflight": parse_preflight,
    "haproxy backends": lambda said: haproxy.parse_backends(said.stdout),
    "kubernetes APIs": api_use.parse,
    "kubernetes fields": api_use.parse_objects,
    "kubernetes health": verify.parse_health,
    "kubernetes host": verify.parse_host,
    "restic backup": lambda said: {"snapshot": restic.parse_snapshot_id(said.stdout)},
    "restic files": lambda said: restic.parse_files(said.stdout),
    "restic refusal": lambda said: {"refused": restic.refusal(said.exited, said.stderr)},
    "restic snapshots": lambda said: restic.parse_snapshots(said.stdout),
    "kubernetes objects": objects.parse_cluster,
    "kubernetes versions": versions.parse_host,
    "kubernetes refused flags": refused.of_answers,
    "kubernetes refused gates": refused.of_gates,
    "kubernetes refused kubeadm": refused.of_answers,
    "kubernetes refused values": refused.of_answers,
}
NAMES = sorted(str(path.relative_to(FOLDER).with_suffix("")) for path in FOLDER.rglob("*.json"))
KEYS = {"tool", "version", "source", "command", "parser", "output", "fact"}


def plain(value):
    """Return ``value`` as JSON would have it: fields by name, sets as sorted lists, infinity as a word."""
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(plain(each) for each in value)
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return "infinity" if isinstance(value, float) and isinf(value) else value


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_is_read_as_its_file_says(name):
    recorded = recording(name)
    fact = plain(PARSERS[recorded["parser"]](recorded_answer(name)))
    assert fact == recorded.get("fact"), f"what the parser makes of it, to be compared by eye:\n{json.dumps(fact, indent=1)}"


@pytest.mark.parametrize("name", NAMES)
def test_a_file_says_where_its_answer_is_from(name):
    recorded = recording(name)
    assert recorded.keys() - {"stderr", "exited"} == KEYS
    assert name.startswith(f"{recorded['tool']}/{recorded['version']}-")
    assert all(recorded[key] for key in KEYS)


def test_every_parser_has_an_answer():
    assert {recording(name)["parser"] for name in NAMES} == PARSERS.keys()
