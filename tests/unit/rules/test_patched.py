"""What patches make of KubeletConfiguration, and what is no patch."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.commands.yaml_scalars import canonical
from runbooks.rules.patched import below, merged, of_kubelet, part, patched, places, together, wrong

pytestmark = pytest.mark.unit

BASE = {"maxPods": "110", "evictionHard": {"memory.available": "100Mi", "nodefs.available": "10%"}, "list": ["a", "b"]}
PLAIN = st.text("abc", min_size=1, max_size=3)
TREES = st.recursive(PLAIN, lambda each: st.lists(each, max_size=3) | st.dictionaries(PLAIN, each, max_size=3), max_leaves=8)
OBJECTS = st.dictionaries(PLAIN, TREES, max_size=4)


@pytest.mark.parametrize(
    ("operations", "changes"),
    [
        ([{"op": "replace", "path": "/maxPods", "value": "50"}], {"maxPods": "50"}),
        ([{"op": "add", "path": "/evictionHard/imagefs.available", "value": "5%"}],
         {"evictionHard": {**BASE["evictionHard"], "imagefs.available": "5%"}}),  # type: ignore[dict-item]
        ([{"op": "add", "path": "/list/-", "value": "c"}], {"list": ["a", "b", "c"]}),
        ([{"op": "add", "path": "/list/0", "value": "c"}], {"list": ["c", "a", "b"]}),
        ([{"op": "remove", "path": "/list/1"}], {"list": ["a"]}),
        ([{"op": "copy", "from": "/maxPods", "path": "/x~1y"}], {"x/y": "110"}),
        ([{"op": "test", "path": "/maxPods", "value": "110"}], {}),
    ],
)  # fmt: skip
def test_json_patches(operations: list[dict[str, str]], changes: dict[str, Any]) -> None:
    before = json.dumps(BASE)
    assert patched(BASE, operations, "json") == {**BASE, **changes}
    assert json.dumps(BASE) == before, "the document itself stays"


def test_a_json_patch_moves() -> None:
    assert patched({"a": "1"}, [{"op": "move", "from": "/a", "path": "/b"}], "json") == {"b": "1"}


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "replace", "path": "/none", "value": "1"},
        {"op": "remove", "path": "/none"},
        {"op": "remove", "path": ""},
        {"op": "add", "path": "/none/below", "value": "1"},
        {"op": "add", "path": "/maxPods/0", "value": "1"},
        {"op": "add", "path": "/list/7", "value": "1"},
        {"op": "test", "path": "/maxPods", "value": "1"},
    ],
)
def test_a_json_patch_that_does_not_apply(operation: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"nothing at|fails|everything"):
        patched(BASE, [operation], "json")


@given(OBJECTS, OBJECTS)
def test_a_merge_patch_puts_its_values_there_and_keeps_the_rest(document: dict[str, Any], patch: dict[str, Any]) -> None:
    found = merged(document, patch)
    assert isinstance(found, dict)
    assert {*found} == {*document, *patch}
    assert all(found[key] == each for key, each in document.items() if key not in patch)
    assert all(found[key] == each for key, each in patch.items() if not isinstance(each, dict))
    assert merged(found, patch) == found, "a second time it changes nothing"


def test_patches_apply_in_the_order_of_their_names_and_only_those_for_the_kubelet() -> None:
    files = {
        "kubeletconfiguration-ha-runbooks-host+merge.yaml": "maxPods: 60",
        "kubeletconfiguration-ha-runbooks-000+merge.yaml": "maxPods: 50\nevictionHard: {memory.available: null}",
        "kubeletconfiguration1+json.json": '[{"op": "test", "path": "/maxPods", "value": "60"}]',
        "kube-scheduler.yaml": "maxPods: 1",
        "README.md": "maxPods: 2",
    }
    assert of_kubelet(BASE, files) == {**BASE, "maxPods": "60", "evictionHard": {"nodefs.available": "10%"}}
    with pytest.raises(ValueError, match=r"kubeletconfiguration\.yaml: the directive \$patch"):
        of_kubelet(BASE, {"kubeletconfiguration.yaml": "$patch: replace"})


def test_plain_scalars_are_read_as_kubeadm_does_and_quoted_ones_as_they_are() -> None:
    text = "a: yes\nb: 0x32\nc: 'on'\nd: [Off, 1_000]\nmaxPods: Null\ne: \"0x32\"\n"
    found = of_kubelet(BASE, {"kubeletconfiguration+merge.yaml": text})
    assert "maxPods" not in found
    assert {key: found[key] for key in "abcde"} == {"a": "true", "b": "50", "c": "on", "d": ["false", "1000"], "e": "0x32"}
    operations = '[{"op": "replace", "path": "/maxPods", "value": 5e1}]'
    assert of_kubelet(BASE, {"kubeletconfiguration+json.json": operations})["maxPods"] == "50"


@given(st.text("0123456789+-._xobeEaflnyAFLNY", max_size=6))
def test_the_meaning_of_a_plain_scalar_means_itself(text: str) -> None:
    found = canonical(text)
    assert canonical(found) == found


@pytest.mark.parametrize(
    ("plain", "meant"),
    [
        ("Yes", "true"), ("y", "true"), ("oN", "oN"), ("N", "false"), ("FALSE", "false"), ("NULL", "null"), ("", "null"),
        ("0b11", "3"), ("-0x10", "-16"), ("0o17", "15"), ("017", "15"), ("089", "89"), ("+5", "5"), ("0", "0"), ("00", "0"),
        ("1.50", "1.5"), ("5.", "5"), (".5", "0.5"), ("1e3", "1000"), ("1e999", "1e999"), ("9" * 81, "9" * 81),
        ("10:30", "10:30"), ("0-3", "0-3"), ("5%", "5%"), ("100Mi", "100Mi"), ("1h0m0s", "1h0m0s"), ("2026-01-02", "2026-01-02"),
        ("_1", "_1"), ("٣", "٣"), ("/a", "/a"),
    ],
)  # fmt: skip
def test_plain_scalars(plain: str, meant: str) -> None:
    assert canonical(plain) == meant


@given(OBJECTS, OBJECTS)
def test_a_part_is_at_its_places_and_nowhere_else(document: dict[str, Any], other: dict[str, Any]) -> None:
    found = part(document, below(other))
    assert {*found} == {*document} & {*other}
    assert part(document, below(document)) == document
    assert part(document, together(below(other), below(document))) == document


def test_where_patches_put_something() -> None:
    files = {
        "kubeletconfiguration+json.json": json.dumps(
            [
                {"op": "add", "path": "/list/0", "value": "c"},
                {"op": "test", "path": "/maxPods", "value": "110"},
                {"op": "add", "path": "/evictionHard/a~1b", "value": "5%"},
            ]
        ),
        "kubeletconfiguration0+merge.yaml": "evictionHard: {c: d}\nx: null",
        "etcd.yaml": "spec: 1",
    }
    assert places(files) == {"list": {"0": None}, "evictionHard": {"a/b": None, "c": None}, "x": None}
    assert part(of_kubelet(BASE, files), places(files)) == {"list": ["c", "a", "b"], "evictionHard": {"a/b": "5%", "c": "d"}}
    assert places({"kubeletconfiguration+json.yaml": "[{op: replace, path: '', value: {a: b}}]"}) is None


@pytest.mark.parametrize(
    ("text", "kind", "told"),
    [
        ("a: 1", "merge", ""),
        ("a: 1\n---\nb: 2", "strategic", ""),
        ('[{"op": "add", "path": "/a", "value": 1}]', "json", ""),
        ("- {op: remove, path: /a}", "json", ""),
        ("", "merge", "is empty"),
        ("# nothing\n", "merge", "is empty"),
        ("- a", "merge", "it must be a group of keys"),
        ("a: [", "merge", "is not YAML or JSON"),
        ("a: 1", "json", "list of operations"),
        ("[{op: add, path: /a}]", "json", "list of operations"),
        ("[{op: plus, path: /a, value: 1}]", "json", "list of operations"),
        ("[{op: remove, path: a}]", "json", "list of operations"),
    ],
)
def test_what_is_no_patch(text: str, kind: str, told: str) -> None:
    said = wrong(text, kind)
    assert told in said
    assert bool(said) == bool(told)


@given(st.text(), st.sampled_from(["merge", "json"]))
def test_whatever_the_file_has_in_it_there_is_an_answer(text: str, kind: str) -> None:
    assert isinstance(wrong(text, kind), str)
