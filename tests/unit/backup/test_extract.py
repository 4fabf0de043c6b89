"""Extracting objects from a set: which kind is meant, which fields are removed, and that YAML is read back unchanged."""

import gzip
import json
import os
import stat
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from runbooks.backup.read import extract
from runbooks.backup.read.extract import Wanted
from runbooks.backup.rules.clean import clean, document, remarks, resolve, similar
from runbooks.backup.sets.manifest import Kind
from runbooks.engine.session import Options
from runbooks.errors import InventoryError, OutcomeError, RunbookError
from tests.support.sets import CONTENT, NOON, put, store_in

pytestmark = pytest.mark.unit

KINDS = (
    "configmaps",
    "daemonsets.apps",
    "endpoints",
    "events",
    "events.events.k8s.io",
    "ingresses.extensions",
    "ingresses.networking.k8s.io",
    "networkpolicies.networking.k8s.io",
    "pods",
    "storageclasses.storage.k8s.io",
)


# ---- which kind is meant


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("configmaps", ["configmaps"]),
        ("ConfigMap", ["configmaps"]),
        ("DaemonSet", ["daemonsets.apps"]),
        ("daemonset.apps", ["daemonsets.apps"]),
        ("daemonset.batch", []),
        ("Endpoints", ["endpoints"]),
        ("events", ["events"]),
        ("events.events.k8s.io", ["events.events.k8s.io"]),
        ("event", ["events", "events.events.k8s.io"]),
        ("ingresses", ["ingresses.extensions", "ingresses.networking.k8s.io"]),
        ("Ingress.networking.k8s.io", ["ingresses.networking.k8s.io"]),
        ("NETWORKPOLICY", ["networkpolicies.networking.k8s.io"]),
        ("StorageClass", ["storageclasses.storage.k8s.io"]),
        ("config", []),
        ("", []),
    ],
)
def test_a_kind_may_be_named_in_many_ways(word, expected):
    assert resolve(word, KINDS) == expected


def test_what_looks_alike_is_offered():
    assert similar("ingres", KINDS)[:2] == ["ingresses.extensions", "ingresses.networking.k8s.io"]
    assert similar("policies", KINDS) == ["networkpolicies.networking.k8s.io"]
    assert similar("xyzzy", KINDS) == []


# ---- what the server made of it


def thing(kind: str, version: str = "v1", metadata: dict[str, Any] | None = None, **content: Any) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": "one", **(metadata or {})}, **content}


def cleaned(kind: str, version: str = "v1", metadata: dict[str, Any] | None = None, **content: Any) -> dict[str, Any]:
    found = clean(thing(kind, version, metadata, **content))
    return {key: value for key, value in found.items() if key not in {"apiVersion", "kind"}}


def test_what_every_object_gets_goes():
    made = {
        "uid": "u",
        "resourceVersion": "7",
        "generation": 2,
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "deletionTimestamp": "2026-01-01T00:00:00Z",
        "deletionGracePeriodSeconds": 0,
        "managedFields": [{}],
        "selfLink": "/x",
        "ownerReferences": [{"uid": "o"}],
        "finalizers": ["foregroundDeletion"],
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"},
    }
    assert cleaned("ConfigMap", metadata=made, data={"a": "b"}, status={"x": 1}) == {
        "metadata": {"name": "one"},
        "data": {"a": "b"},
    }


def test_what_somebody_wrote_stays():
    written = {
        "namespace": "stock",
        "labels": {"a": "b"},
        "annotations": {"mine": "1"},
        "finalizers": ["mine.example/guard"],
        "generateName": "on",
    }
    secret = {"data": {"password": "cw=="}, "type": "Opaque", "immutable": True}
    assert cleaned("Secret", metadata=written, **secret) == {"metadata": {"name": "one", **written}, **secret}


def test_what_was_empty_stays_empty():
    """Only fields that become empty here are removed: an empty selector has a meaning of its own."""
    spec = {"podSelector": {}, "ingress": []}
    assert cleaned("NetworkPolicy", "networking.k8s.io/v1", spec=spec)["spec"] == spec
    assert cleaned("ConfigMap", data={})["data"] == {}


def test_a_service_keeps_its_node_ports_but_not_its_address():
    ports = [{"port": 80, "nodePort": 30080}]
    spec = {"type": "NodePort", "clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7"], "ports": ports}
    assert cleaned("Service", spec=spec)["spec"] == {"type": "NodePort", "ports": ports}
    headless = {"clusterIP": "None", "clusterIPs": ["None"]}
    assert cleaned("Service", spec=headless)["spec"] == headless
    knative = {"clusterIP": "10.96.0.7"}
    assert cleaned("Service", "serving.knative.dev/v1", spec=knative)["spec"] == knative


def test_a_claim_and_its_volume_find_each_other_again():
    bound = {"annotations": {"pv.kubernetes.io/bind-completed": "yes", "pv.kubernetes.io/bound-by-controller": "yes"}}
    claim = cleaned("PersistentVolumeClaim", metadata=bound, spec={"volumeName": "pv-1"}, status={"phase": "Bound"})
    assert claim == {"metadata": {"name": "one"}, "spec": {"volumeName": "pv-1"}}
    reference = {"kind": "PersistentVolumeClaim", "namespace": "a", "name": "one"}
    volume = cleaned("PersistentVolume", spec={"claimRef": {**reference, "uid": "u", "resourceVersion": "1"}})
    assert volume["spec"]["claimRef"] == reference


def test_a_pod_can_be_placed_anew():
    token = {"name": "kube-api-access-x", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
    data = {"name": "data", "mountPath": "/data"}
    spec = {
        "nodeName": "worker1",
        "priority": 0,
        "ephemeralContainers": [{"name": "debug"}],
        "containers": [{"name": "a", "volumeMounts": [data, token]}, {"name": "b", "volumeMounts": [token]}],
        "initContainers": [{"name": "c", "volumeMounts": [token]}],
        "volumes": [{"name": "data"}, {"name": "kube-api-access-x"}],
    }
    assert cleaned("Pod", spec=spec)["spec"] == {
        "containers": [{"name": "a", "volumeMounts": [data]}, {"name": "b"}],
        "initContainers": [{"name": "c"}],
        "volumes": [{"name": "data"}],
    }


def test_a_job_gets_a_selector_of_its_own():
    labels = {"controller-uid": "u", "job-name": "one"}
    spec = {"selector": {"matchLabels": {"controller-uid": "u"}}, "template": {"metadata": {"labels": labels}}}
    assert cleaned("Job", "batch/v1", spec=spec)["spec"] == {"template": {"metadata": {"labels": {"job-name": "one"}}}}
    by_hand = {"manualSelector": True, **spec}
    assert cleaned("Job", "batch/v1", spec=by_hand)["spec"] == by_hand


def test_an_account_keeps_the_secrets_that_somebody_gave_it():
    secrets = [{"name": "one-token-x7k2p"}, {"name": "registry"}]
    assert cleaned("ServiceAccount", secrets=secrets)["secrets"] == [{"name": "registry"}]
    assert "secrets" not in cleaned("ServiceAccount", secrets=secrets[:1])


def test_what_an_operator_should_know():
    assert list(remarks(thing("ConfigMap"))) == []
    (owned,) = remarks(thing("Pod", metadata={"ownerReferences": [{"uid": "u"}]}))
    assert "owner" in owned
    (address,) = remarks(thing("Service", spec={"clusterIP": "10.96.0.7"}))
    assert "clusterIP" in address
    assert list(remarks(thing("Service", spec={"clusterIP": "None"}))) == []
    (volume,) = remarks(thing("PersistentVolumeClaim", spec={"volumeName": "pv-1"}))
    assert "volume" in volume
    (mirror,) = remarks(thing("Pod", metadata={"annotations": {"kubernetes.io/config.mirror": "x"}}))
    assert "static pod" in mirror
    (leaving,) = remarks(thing("ConfigMap", metadata={"deletionTimestamp": "x"}))
    assert "being deleted" in leaving


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
SHAPED = st.dictionaries(
    st.sampled_from(["apiVersion", "kind", "metadata", "spec", "status", "data", "secrets"]),
    JSON | st.dictionaries(st.sampled_from(["uid", "annotations", "finalizers", "volumes", "containers", "labels"]), JSON),
)


@given(SHAPED, st.sampled_from(["Service", "Pod", "Job", "ServiceAccount", "ConfigMap", "PersistentVolume"]))
def test_cleaning_twice_is_cleaning_once_and_changes_nothing_of_the_saved_one(found, kind):
    found = {"apiVersion": "batch/v1" if kind == "Job" else "v1", **found, "kind": kind}
    before = json.dumps(found)
    made = clean(found)
    assert json.dumps(found) == before
    assert clean(made) == made


# ---- YAML


@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_yaml_gives_back_what_was_put_in(found):
    text = document(found)
    assert text.startswith("---")
    assert yaml.safe_load(text) == found


@given(st.lists(st.dictionaries(st.text(), JSON, min_size=1, max_size=3), max_size=4))
def test_documents_follow_one_another(found):
    assert list(yaml.safe_load_all("".join(map(document, found)))) == found


@pytest.mark.parametrize(
    "text",
    ["y", "N", "on", "1e3", "12e03", "0o17", "012", "0x1F", "1_000", "12:30:45", "2026-01-01", "=", "<<", "~", "null", ".5"],
)
def test_what_another_reader_might_take_for_something_else_is_quoted(text):
    """kubectl's YAML parser differs from PyYAML: y is true, and 1e3 is a number."""
    assert document({"k": text}) == f'---\nk: "{text}"\n'
    assert document({text: "v"}) == f'---\n"{text}": v\n'


def test_lines_of_text_stand_as_lines():
    assert document({"k": "one:\n  two\n"}) == "---\nk: |\n  one:\n    two\n"
    assert document({"k": "a\tb\nc"}) == '---\nk: "a\\tb\\nc"\n'  # a tab at the wrong place ends a block
    assert document({"k": "x" * 500}) == f"---\nk: {'x' * 500}\n"


# ---- from a set on disk


class Asked:
    """Return the parts of a session that reading a set uses."""

    def __init__(self, store, *, as_json=False):
        self.site = store.site
        self.options = Options(json=as_json)


def saved(*objects: dict[str, Any], kind: str = "ConfigMapList", page: int = 2) -> bytes:
    """Return a list file: pages, each a gzip member of its own, in which the items have no kind."""
    items = [{key: value for key, value in each.items() if key not in {"apiVersion", "kind"}} for each in objects]
    pages = [items[start : start + page] for start in range(0, len(items), page)] or [[]]
    return b"".join(gzip.compress(json.dumps({"kind": kind, "apiVersion": "v1", "items": each}).encode()) for each in pages)


MAPS = [
    thing("ConfigMap", metadata={"name": name, "namespace": namespace, "uid": "u"}, data={"n": name})
    for namespace, name in (("a", "x"), ("a", "y"), ("b", "x"))
]
MICE = thing(
    "CustomResourceDefinition",
    spec={"group": "zoo.example", "names": {"plural": "mice", "singular": "mouse", "kind": "Mouse", "shortNames": ["mm"]}},
)


@pytest.fixture
def store(tmp_path):
    found = store_in(tmp_path)
    files = {
        "etcd/master1.db": b"x" * 5000,
        "resources/configmaps.json.gz": saved(*MAPS),
        "resources/pods.json.gz": saved(kind="PodList"),
        "resources/mice.zoo.example.json.gz": saved(thing("Mouse"), kind="MouseList"),
        "resources/customresourcedefinitions.apiextensions.k8s.io.json.gz": saved(MICE, kind="CustomResourceDefinitionList"),
    }
    kinds = {
        name.removeprefix("resources/").removesuffix(".json.gz"): Kind(file=name, path="/", objects=1, size=len(content))
        for name, content in files.items()
        if name.startswith("resources/")
    }
    put(found, NOON, files, kinds=kinds)
    return found


def names(text: str) -> list[str]:
    return [f"{each['metadata'].get('namespace', '')}/{each['metadata']['name']}" for each in yaml.safe_load_all(text)]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Wanted(kind="configmaps"), ["a/x", "a/y", "b/x"]),
        (Wanted(kind="ConfigMap", namespace="a"), ["a/x", "a/y"]),
        (Wanted(kind="ConfigMap", name="x"), ["a/x", "b/x"]),
        (Wanted(kind="ConfigMap", namespace="b", name="x"), ["b/x"]),
        (Wanted(kind="Mouse"), ["/one"]),
        (Wanted(kind="mm"), ["/one"]),
    ],
)
def test_only_what_is_asked_for_comes(store, capsys, wanted, expected):
    extract.extract(Asked(store), wanted)
    out, said = capsys.readouterr()
    assert names(out) == expected
    assert f"{len(expected)} of" in said
    assert "uid" not in out


def test_raw_is_as_it_was_saved(store, capsys):
    extract.extract(Asked(store), Wanted(kind="configmaps", namespace="b", raw=True))
    assert yaml.safe_load(capsys.readouterr().out) == MAPS[2]


def test_for_machines_one_object_a_line(store, capsys):
    extract.extract(Asked(store, as_json=True), Wanted(kind="configmaps", namespace="a"))
    assert [json.loads(line)["data"] for line in capsys.readouterr().out.splitlines()] == [{"n": "x"}, {"n": "y"}]


@pytest.mark.parametrize(
    ("wanted", "error", "words"),
    [
        (Wanted(kind="configmaps", namespace="c"), OutcomeError, ("none of its 3 configmaps", "--namespace c", "2 in a, 1 in b")),
        (Wanted(kind="pods"), OutcomeError, ("no pods at all",)),
        (Wanted(kind="mice", namespace="a"), OutcomeError, ("belong to no namespace",)),
        (Wanted(kind="configmas"), InventoryError, ("no such kind",)),
    ],
)
def test_nothing_found(store, capsys, wanted, error, words):
    with pytest.raises(error) as caught:
        extract.extract(Asked(store), wanted)
    assert all(word in str(caught.value) for word in words)
    assert capsys.readouterr().out == ""


def test_a_file_of_its_own_which_nobody_else_may_read(store, tmp_path, capsys):
    os.umask(os.umask(0o022))
    extract.extract(Asked(store), Wanted(kind="configmaps"), to=str(tmp_path / "out.yaml"))
    assert stat.S_IMODE((tmp_path / "out.yaml").stat().st_mode) == 0o600
    assert names((tmp_path / "out.yaml").read_text()) == ["a/x", "a/y", "b/x"]
    assert capsys.readouterr().out == ""
    with pytest.raises(InventoryError, match="is there already"):
        extract.extract(Asked(store), Wanted(kind="configmaps", namespace="b"), to=str(tmp_path / "out.yaml"))
    assert names((tmp_path / "out.yaml").read_text()) == ["a/x", "a/y", "b/x"]
    (tmp_path / "there").mkdir()
    extract.extract(Asked(store), Wanted(kind="configmaps"), to=str(tmp_path / "there"))
    assert (tmp_path / "there" / "configmaps.yaml").exists()


def test_the_files_of_a_host_come_as_they_were_saved(tmp_path, capsysbinary):
    store = store_in(tmp_path)
    name = put(store, NOON)
    extract.extract_files(Asked(store), "lb1")
    assert capsysbinary.readouterr().out == CONTENT["hosts/lb1.tar.gz"]
    extract.extract_files(Asked(store), "lb1", to=str(tmp_path))
    path = tmp_path / "lb1.tar.gz"
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (CONTENT["hosts/lb1.tar.gz"], 0o600)
    with pytest.raises(InventoryError, match="has files of lb1"):
        extract.extract_files(Asked(store), "lb2")
    (store.directory / name / "hosts/lb1.tar.gz").write_bytes(b"else")
    with pytest.raises(RunbookError, match="it has 4 bytes instead of 20"):
        extract.extract_files(Asked(store), "lb1")


def test_a_damaged_list_gives_nothing(store, capsys):
    """Raised before the first object is printed: half of a list must not be applied."""
    (path,) = store.directory.glob("2*/resources/configmaps.json.gz")
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)
    with pytest.raises(RunbookError, match=r"configmaps\.json\.gz: its SHA-256 differs"):
        extract.extract(Asked(store), Wanted(kind="configmaps"))
    assert capsys.readouterr().out == ""
