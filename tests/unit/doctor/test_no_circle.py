"""The doctor names the next command, and that is never the doctor."""

import ast

import pytest

from runbooks.doctor.rules.pair import ELSEWHERE
from runbooks.render import ROOT

pytestmark = pytest.mark.unit

# The findings of these modules are printed by the doctor, or may be.
PRINTED = ("doctor", "rules", "etcd/rules", "lb", "backup/status.py", "view")


def texts() -> list[tuple[str, str]]:
    """Every text below a module whose findings the doctor prints, with where it is; docstrings and comments left out."""
    found = []
    for each in PRINTED:
        top = ROOT / "runbooks" / each
        for path in sorted(top.rglob("*.py")) if top.is_dir() else [top]:
            tree = ast.parse(path.read_text(encoding="utf-8"))
            spare = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
            found += [
                (f"{path.relative_to(ROOT)}:{node.lineno}", node.value)
                for node in ast.walk(tree)
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in spare
            ]
    return found


def test_no_finding_of_the_doctor_names_the_doctor():
    """Verify may name it for etcd, a topic that the doctor judges itself."""
    assert "etcd" in ELSEWHERE
    assert {where.partition(":")[0] for where, text in texts() if "inv doctor" in text} == {"runbooks/rules/verify_etcd.py"}
