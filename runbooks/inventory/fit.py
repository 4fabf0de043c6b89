"""Fit what is known about a site to the model of hosts.yaml: plain values, keys in the order of the model, defaults left out. Pure."""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, get_args

import msgspec

from runbooks.inventory import scalars
from runbooks.inventory.base import Model


def fitted(given: Mapping[str, object] | Model, struct: type[Model] | None, noted: type[Any]) -> dict[str, Any]:
    """Return ``given`` as a plain structure, with the keys of ``struct`` in its order and without those that have their default.

    Keys that ``struct`` does not have follow as they are. Values of the type ``noted`` (with ``value`` and ``comment``) stay so, with
    their value fitted, and are never left out.
    """
    values = _mapping(given)
    known = {field.name: field for field in msgspec.structs.fields(struct)} if struct else {}
    found: dict[str, Any] = {}
    for key in [*(name for name in known if name in values), *(name for name in values if name not in known)]:
        hint = known[key].type if key in known else Any
        value = _fitted(values[key], hint, noted)
        if isinstance(value, noted) or not _is_default(value, known.get(key)):
            found[key] = value
    return found


def _mapping(given: Mapping[str, object] | Model) -> dict[str, object]:
    if isinstance(given, Model):
        return {field.name: getattr(given, field.name) for field in msgspec.structs.fields(type(given))}
    return {str(key): value for key, value in given.items()}


def _fitted(given: object, hint: scalars.Hint, noted: type[Any]) -> Any:
    """Return one value of the type ``hint``, as in `fitted`."""
    if isinstance(given, noted):
        return noted(_fitted(given.value, hint, noted), given.comment)
    if isinstance(given, Mapping) and scalars.origin(hint) is dict:  # a group whose keys the operator chooses
        return {str(key): _fitted(each, get_args(hint)[1], noted) for key, each in given.items()}
    if isinstance(given, Model | Mapping):
        return fitted(given, _struct(hint), noted)
    if isinstance(given, list | tuple):
        many = next((member for member in scalars.members(hint) if scalars.origin(member) is tuple), None)
        item = get_args(many)[0] if many else Any
        return [_fitted(each, item, noted) for each in given]
    return given if given is None or isinstance(given, bool | int | float | str) else str(given)


def _struct(hint: scalars.Hint) -> type[Model] | None:
    return next((each for each in scalars.members(hint) if isinstance(each, type) and issubclass(each, Model)), None)


def _is_default(value: object, field: msgspec.structs.FieldInfo | None) -> bool:
    if field is None or field.required:
        return False
    if field.default is msgspec.NODEFAULT:
        return bool(value == field.default_factory())
    if isinstance(field.default, Model):
        return value == {}
    default = _plain(field.default)
    return value == default and type(value) is type(default)


def _plain(default: object) -> object:
    if isinstance(default, tuple):
        return list(default)
    return str(default) if isinstance(default, PurePath) else default
