"""What kubeadm's patches make of a configuration, as far as it is compared here: KubeletConfiguration. Pure.

Merge patches are of RFC 7396, JSON patches of RFC 6902. A strategic patch does the same as a merge patch there, since no list of
KubeletConfiguration has a merge key, but for its directives ($patch ...).
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from runbooks.commands import yaml_text
from runbooks.inventory.patch_names import KUBELET, PatchName, parse

Places = Mapping[str, "Places"] | None  # of a configuration, by key; None: all that is there
NULL = frozenset({"null", "~", ""})  # `yaml_text` reads every scalar as text


def of_kubelet(document: Mapping[str, Any], patches: Mapping[str, str]) -> dict[str, Any]:
    """Return KubeletConfiguration with every patch for it, in the order of their names, as kubeadm applies them.

    ``document`` has its scalars as text; ``patches``: texts by file name, also those for other targets, which are left out. Raises
    ValueError for a patch that cannot be applied.
    """
    found: Any = dict(document)
    for file, kind, text in _of_kubelet(patches):
        try:
            for each in yaml_text.documents(text, meant=True):
                found = patched(found, each, kind)
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from None
    return found if isinstance(found, dict) else {}


def places(patches: Mapping[str, str]) -> Places:
    """Return where the patches for the kubelet put something. Raises ValueError for one that is no YAML."""
    found: Places = {}
    for _, kind, text in _of_kubelet(patches):
        for each in yaml_text.documents(text):
            if kind != "json":
                found = together(found, below(each))
                continue
            for one in each if isinstance(each, list) else []:
                if one.get("op") != "test":
                    at: Places = None
                    for key in reversed(_keys(str(one.get("path", "")))):
                        at = {key: at}
                    found = together(found, at)
    return found


def below(value: object) -> Places:
    """Return the places of a configuration: its keys, at every level."""
    return {str(key): below(each) for key, each in value.items()} if isinstance(value, dict) else None


def together(one: Places, other: Places) -> Places:
    """Return the places of both."""
    if one is None or other is None:
        return None
    found = dict(one)
    for key, each in other.items():
        found[key] = together(found[key], each) if key in found else each
    return found


def part(document: object, at: Places) -> Any:
    """Return what ``document`` has at these places, and nothing else. A list is whole.

    >>> part({"a": {"b": "1", "c": "2"}, "d": ["x"], "e": "3"}, {"a": {"b": None}, "d": {"0": None}})
    {'a': {'b': '1'}, 'd': ['x']}
    """
    if at is None or not isinstance(document, dict):
        return document
    return {key: part(document[key], each) for key, each in at.items() if key in document}


def _of_kubelet(patches: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield the file, the type and the text of each patch for the kubelet, in the order in which kubeadm applies them."""
    for file, text in sorted(patches.items()):
        name = _name(file)
        if name and name.target == KUBELET:
            yield file, name.kind, text


def _name(file: str) -> PatchName | None:
    try:
        return parse(file)
    except ValueError:
        return None


def wrong(text: str, kind: str, target: str = "") -> str:
    """Return why ``text`` is no patch of this ``kind``, "" when it can be one. A patch for the kubelet is one that can be applied here, too."""
    try:
        found = [each for each in yaml_text.documents(text) if each != ""]
    except ValueError as error:
        return f"is not YAML or JSON: {error}"
    if not found:
        return "is empty: kubeadm ignores it"
    for each in found:
        if kind != "json" and not isinstance(each, dict):
            return "is no patch: it must be a group of keys, as in the file that is patched"
        if kind == "json" and not (isinstance(each, list) and all(isinstance(one, dict) and _is_operation(one) for one in each)):
            return "is no JSON patch: it must be a list of operations, such as {op: add, path: /spec/priority, value: 1}"
        if kind != "json" and target == KUBELET:
            try:
                merged({}, each)
            except ValueError as error:
                return f"cannot be used: {error}"
    return ""


def _is_operation(one: Mapping[str, Any]) -> bool:
    needs = {"add": {"value"}, "replace": {"value"}, "test": {"value"}, "remove": set(), "move": {"from"}, "copy": {"from"}}
    op, path = one.get("op"), one.get("path")
    return isinstance(path, str) and (not path or path.startswith("/")) and op in needs and needs[str(op)] <= one.keys()


def patched(document: object, patch: object, kind: str) -> object:
    """Return ``document`` after one ``patch``. Raises ValueError when it does not apply."""
    if kind == "json":
        found = copy.deepcopy(document)
        for operation in patch if isinstance(patch, list) else []:
            found = _operation(found, operation)
        return found
    return merged(document, patch)


def merged(document: object, patch: object) -> object:
    """Return ``document`` after a merge patch (RFC 7396).

    >>> merged({"a": {"b": "1", "c": "2"}}, {"a": {"b": "null", "d": "3"}})
    {'a': {'c': '2', 'd': '3'}}
    """
    if not isinstance(patch, dict):
        return patch
    found = dict(document) if isinstance(document, dict) else {}
    for key, value in patch.items():
        if key.startswith("$"):
            raise ValueError(f"the directive {key} of a strategic patch is not read here: write a patch of type merge or json")
        if isinstance(value, str) and value in NULL:
            found.pop(key, None)
        else:
            found[key] = merged(found.get(key), value)
    return found


def _operation(document: Any, one: Mapping[str, Any]) -> Any:
    op, path = str(one.get("op")), _keys(str(one.get("path", "")))
    if op == "add":
        return _put(document, path, one.get("value"), insert=True)
    if op == "replace":
        _at(document, path)
        return _put(document, path, one.get("value"), insert=False)
    if op == "remove":
        return _without(document, path)
    if op in {"move", "copy"}:
        source = _keys(str(one.get("from", "")))
        value = copy.deepcopy(_at(document, source))
        return _put(_without(document, source) if op == "move" else document, path, value, insert=True)
    if op == "test" and _at(document, path) != one.get("value"):
        raise ValueError(f"its test of {one.get('path')} fails")
    return document


def _keys(path: str) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:]]


def _at(document: Any, keys: Iterable[str]) -> Any:
    for key in keys:
        try:
            document = document[int(key)] if isinstance(document, list) else document[key]
        except (KeyError, IndexError, ValueError, TypeError):
            raise ValueError(f"there is nothing at {key}") from None
    return document


def _put(document: Any, keys: list[str], value: Any, *, insert: bool) -> Any:
    if not keys:
        return value
    parent, last = _at(document, keys[:-1]), keys[-1]
    if isinstance(parent, dict):
        parent[last] = value
        return document
    items = parent if isinstance(parent, list) else ()
    at = len(items) if last == "-" else int(last) if last.isdigit() else -1
    if not isinstance(parent, list) or not 0 <= at <= len(parent):
        raise ValueError(f"there is nothing at {last}")
    parent[at : at + (0 if insert else 1)] = [value]
    return document


def _without(document: Any, keys: list[str]) -> Any:
    if not keys:
        raise ValueError("it removes everything")
    _at(document, keys)
    parent, last = _at(document, keys[:-1]), keys[-1]
    del parent[int(last) if isinstance(parent, list) else last]
    return document
