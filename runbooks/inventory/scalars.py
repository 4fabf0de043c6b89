"""Convert one scalar of the file into one value of the model, or raise WrongError with a text for the operator. Pure."""

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from runbooks.inventory.problems import quoted
from runbooks.inventory.source import Scalar
from runbooks.inventory.words import UPPER_CASE

WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})\Z")
TAKEN_FOR = {
    "int": "a number",
    "float": "a number",
    "bool": "true or false",
    "null": "nothing at all",
    "timestamp": "a date",
    "merge": "a merge key",
    "value": "a default value",
}
Hint = Any  # a type annotation of the model


class WrongError(ValueError):
    """The scalar is not valid; the text says what would be."""


class Form(msgspec.Struct, frozen=True):
    """One type that a value may have, with its bounds or pattern."""

    base: Hint
    meta: msgspec.Meta


def origin(hint: Hint) -> object:
    """Return the generic type of ``hint`` (Literal, tuple, Annotated ...), or None for a plain type."""
    return get_origin(hint)


def members(hint: Hint) -> tuple[Hint, ...]:
    """Return the members of a union, or the hint alone. NoneType among them means that the value may be empty."""
    return get_args(hint) if origin(hint) in {Union, UnionType} else (hint,)


def forms(hint: Hint) -> list[Form]:
    """Return what ``hint`` allows, without None."""
    found = []
    for member in members(hint):
        if member is NoneType:
            continue
        if origin(member) is Annotated:
            base, *metas = get_args(member)
            found.append(Form(base, next((meta for meta in metas if isinstance(meta, msgspec.Meta)), msgspec.Meta())))
        else:
            found.append(Form(member, msgspec.Meta()))
    return found


def convert(hint: Hint, scalar: Scalar) -> object:
    """Return the value of ``scalar``, or raise WrongError.

    For example, ``10.1.1.11`` for an Address gives ``IPv4Address("10.1.1.11")``.
    """
    if scalar.kind == "null":
        if NoneType in members(hint):
            return None
        raise WrongError(f"has no value: it must be {expected(hint)}")
    complaints: list[str] = []
    for form in forms(hint):
        try:
            return _one(form, scalar)
        except WrongError as error:
            complaints.append(str(error))
    alike = len(set(complaints)) == 1
    raise WrongError(complaints[0] if alike else f"{quoted(scalar.text)} is not {expected(hint)}")


def expected(hint: Hint) -> str:
    """Return what ``hint`` allows, as text: ``an IP address or a DNS name ...``."""
    words = [_expected(form) for form in forms(hint)]
    return " or ".join(dict.fromkeys(words))


def _expected(form: Form) -> str:
    meta = form.meta
    if origin(form.base) is Literal:
        allowed = [str(value) for value in get_args(form.base)]
        return allowed[0] if len(allowed) == 1 else f"one of {', '.join(allowed)}"
    if form.base is int:
        return f"a whole number from {meta.ge} to {meta.le}"
    plain = {
        bool: "true or false",
        str: meta.description or "text",
        Path: "a path",
        IPv4Address: "an IP address",
        IPv6Address: "an IP address",
        IPv4Network: "a network such as 10.1.1.0/24",
        IPv6Network: "a network such as 10.1.1.0/24",
    }
    return plain[form.base]


def _one(form: Form, scalar: Scalar) -> object:
    if origin(form.base) is Literal:
        return _choice(get_args(form.base), scalar)
    readers = {
        bool: _boolean,
        int: _number,
        str: _text,
        Path: _path,
        IPv4Address: _address,
        IPv6Address: _address,
        IPv4Network: _network,
        IPv6Network: _network,
    }
    return readers[form.base](form, scalar)


def plain(scalar: Scalar) -> object:
    """Return the value of a scalar of any type, or raise WrongError where YAML would read it as something unexpected.

    >>> plain(Scalar(1, "110", "int"))
    110
    """
    text, kind = scalar.text, scalar.kind
    if kind == "str":
        return text
    if kind == "bool" and text in {"true", "false"}:
        return text == "true"
    if kind == "int" and WHOLE.match(text):
        return int(text)
    if kind == "float" and re.fullmatch(r"-?[0-9]+\.[0-9]+", text):
        return float(text)
    if kind == "null":
        raise WrongError("has no value: write one, or delete the key")
    raise WrongError(
        f'{quoted(text)} without quotes is {TAKEN_FOR[kind]} to YAML: write "{text}", or true or false, or a plain number'
    )


def _choice(allowed: Sequence[object], scalar: Scalar) -> object:
    for value in allowed:
        if scalar.text == str(value) and (scalar.kind == "str") == isinstance(value, str):
            return value
    written = [str(value) for value in allowed]
    if scalar.text in written and scalar.kind == "str":
        raise WrongError(f'"{scalar.text}" is text: write the number without quotes')
    raise WrongError(
        f"{quoted(scalar.text)} is not {_expected(Form(Literal[tuple(allowed)], msgspec.Meta()))}{hint(scalar.text, written)}"
    )


def hint(word: str, known: Sequence[str]) -> str:
    """Return ": did you mean X?" when ``word`` is nearly one of ``known``, else ""."""
    from difflib import get_close_matches  # noqa: PLC0415 - start-up time, only needed for errors

    near = get_close_matches(word[:60].lower().replace("_", "-"), known, n=1) or get_close_matches(word[:60].lower(), known, n=1)
    return f": did you mean {near[0]}?" if near else ""


def _boolean(form: Form, scalar: Scalar) -> bool:
    if scalar.kind == "bool" and scalar.text in {"true", "false"}:
        return scalar.text == "true"
    if scalar.text in {"true", "false"}:
        raise WrongError(f'"{scalar.text}" is text: write {scalar.text} without quotes')
    raise WrongError(f"{quoted(scalar.text)} is not {_expected(form)}")


def _number(form: Form, scalar: Scalar) -> int:
    text, least, most = scalar.text, form.meta.ge, form.meta.le
    if WHOLE.match(text):
        if scalar.kind == "str":
            raise WrongError(f'"{text}" is text: write the number without quotes')
        number = int(text)
        if (least is None or number >= least) and (most is None or number <= most):
            return number
    elif scalar.kind == "int" and len(text) <= 18:
        raise WrongError(
            f"{quoted(text)} is not a plain number (YAML may read it in base 2, 8, 16 or 60): write {_expected(form)}"
        )
    raise WrongError(f"{quoted(text)} is not {_expected(form)}")


def _text(form: Form, scalar: Scalar) -> str:
    pattern = form.meta.pattern
    fits = not pattern or re.search(pattern, scalar.text) is not None
    if scalar.kind != "str":
        fix = f'write "{scalar.text}"' if fits else f"write {_expected(form)}, in quotes"
        raise WrongError(f"{quoted(scalar.text)} without quotes is {TAKEN_FOR[scalar.kind]} to YAML: {fix}")
    if fits:
        return scalar.text
    lower, why = scalar.text.lower(), (form.meta.extra or {}).get(UPPER_CASE)
    if why and pattern and re.search(pattern, lower):
        raise WrongError(f"{quoted(scalar.text)} has upper-case letters, and {why}: write {lower}")
    raise WrongError(f"{quoted(scalar.text)} is not {_expected(form)}")


def _path(form: Form, scalar: Scalar) -> Path:
    text = _text(form, scalar)
    if not text.strip() or not text.isprintable():
        raise WrongError(f"{quoted(text)} is not a path: it is empty, or holds a character that cannot be printed")
    return Path(text)


def _address(form: Form, scalar: Scalar) -> IPv4Address | IPv6Address:
    try:
        found = ip_address(scalar.text)
    except ValueError:
        if _is_network(scalar.text):
            raise WrongError(f"{quoted(scalar.text)} is not an IP address: leave out the prefix length") from None
        raise WrongError(f"{quoted(scalar.text)} is not {_expected(form)}") from None
    if isinstance(found, IPv6Address) and found.scope_id is not None:
        raise WrongError(f"{quoted(scalar.text)} names a network interface: leave out the % and what follows")
    return found


def _is_network(text: str) -> bool:
    try:
        return bool(ip_network(text, strict=False))
    except ValueError:
        return False


def _network(form: Form, scalar: Scalar) -> IPv4Network | IPv6Network:
    text = scalar.text
    address, _, length = text.partition("/")
    if "%" in text or not _is_network(address):
        raise WrongError(f"{quoted(text)} is not {_expected(form)}")
    if not length:
        raise WrongError(f"{quoted(text)} has no prefix length: write a network such as 10.1.1.0/24")
    if not length.isascii() or not length.isdigit() or not _is_network(text):
        most = ip_address(address).max_prefixlen
        raise WrongError(f"{quoted(text)} is not a network: the prefix length is a whole number from 0 to {most}")
    network = ip_network(text, strict=False)
    if network.network_address != ip_address(address):
        raise WrongError(f"{text} is an address in a network: write {network}")
    return network
