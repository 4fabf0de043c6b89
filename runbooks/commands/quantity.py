"""Quantities of the Kubernetes API, such as "100m", "1.5" or "2Gi", as whole numbers.

https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fractions import Fraction
from math import ceil

FORM = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([KMGTPE]i|[numkMGTPE]?)|[eE]([+-]?\d+))")
DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}

Amounts = dict[str, int]  # thousandths by the name of a resource: "cpu", "memory", "pods", "nvidia.com/gpu"


def thousandths(text: str | int) -> int:
    """Return a quantity in thousandths, rounded up: millicores of cpu, thousandths of a byte of memory. Raises ValueError.

    >>> thousandths("100m"), thousandths("1.5"), thousandths("2Ki"), thousandths("1e3"), thousandths(2), thousandths("1n")
    (100, 1500, 2048000, 1000000, 2000, 1)
    """
    match = FORM.fullmatch(str(text))
    if not match:
        raise ValueError(f"this is no quantity: {text!r}")
    number, unit, exponent = match.groups()
    factor = Fraction(2 ** BINARY[unit]) if unit in BINARY else Fraction(10) ** (int(exponent) if exponent else DECIMAL[unit])
    return ceil(Fraction(number) * factor * 1000)


def amounts(found: Mapping[str, str | int] | None) -> Amounts:
    """Return the quantities of a ResourceList (requests, allocatable) in thousandths."""
    return {name: thousandths(text) for name, text in (found or {}).items()}


def added(parts: Iterable[Amounts]) -> Amounts:
    """Return the sum of several.

    >>> added([{"cpu": 1}, {"cpu": 2, "memory": 3}])
    {'cpu': 3, 'memory': 3}
    """
    total: Amounts = {}
    for part in parts:
        for name, number in part.items():
            total[name] = total.get(name, 0) + number
    return total


def largest(parts: Iterable[Amounts]) -> Amounts:
    """Return the largest amount of each resource.

    >>> largest([{"cpu": 1, "memory": 3}, {"cpu": 2}])
    {'cpu': 2, 'memory': 3}
    """
    most: Amounts = {}
    for part in parts:
        for name, number in part.items():
            most[name] = max(most.get(name, 0), number)
    return most


def shown(resource: str, number: int) -> str:
    """Return an amount as people write it: cpu in millicores, memory and storage in MiB, others as they are.

    >>> shown("cpu", 1500), shown("memory", 1024**3 * 1000), shown("pods", 3000)
    ('1500m', '1024Mi', '3')
    """
    if resource == "cpu":
        return f"{number}m"
    if resource in {"memory", "ephemeral-storage"} or resource.startswith("hugepages-"):
        return f"{ceil(number / 1000 / 1024**2)}Mi"
    return f"{ceil(number / 1000)}"
