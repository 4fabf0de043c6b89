"""What patches make of KubeletConfiguration, and what is no patch."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.rules.patched import merged, of_kubelet, patched, wrong

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
