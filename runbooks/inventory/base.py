"""The base class of every part of the site."""

from typing import ClassVar

import msgspec


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """Base class of every part of the site: immutable, compared by value. ``EXAMPLE``: how one of a list is written."""

    EXAMPLE: ClassVar[str] = "- {name: lb1, address: 10.1.1.11, roles: [lb]}"
