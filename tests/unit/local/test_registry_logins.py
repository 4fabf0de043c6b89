"""Passwords of registries: from a file that only its owner may read, or from the environment; errors name the key and never the password."""

from pathlib import Path

import pytest

from runbooks.errors import InventoryError
from runbooks.inventory.model import Site
from runbooks.local.registry_logins import passwords
from tests.unit.cluster.test_kubeadm_config import described

pytestmark = pytest.mark.unit

KEY = r"kubernetes\.containerd\.registries\[1\]\.login\."


def site(directory: Path, **login: str) -> Site:
    registries = [
        {"host": "docker.io", "mirrors": ["https://a.example"]},
        {"host": "a.example", "login": {"user": "puller", **login}},
    ]
    return described(directory, containerd={"registries": registries})


def test_a_password_from_a_file_and_from_the_environment(tmp_path: Path) -> None:
    (tmp_path / "word").write_text("horse\n")
    (tmp_path / "word").chmod(0o600)
    found = passwords(site(tmp_path, password_file="word"), {})
    assert found == {"a.example": "horse"}
    assert "horse" not in repr(found)
    assert passwords(site(tmp_path, password_env="WORD"), {"WORD": "cow"}) == {"a.example": "cow"}


@pytest.mark.parametrize(
    ("content", "mode", "why"),
    [
        ("horse", 0o644, "others may read"),
        ("", 0o600, "is empty"),
        ("horse\ncow\n", 0o600, "no single line"),
        (None, 0, "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_used(content: str | None, mode: int, why: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "word").write_text(content)
        (tmp_path / "word").chmod(mode)
    with pytest.raises(InventoryError, match=f"{KEY}password_file: .*{why}") as caught:
        passwords(site(tmp_path, password_file="word"), {})
    assert "horse" not in str(caught.value)


def test_a_variable_that_is_not_set(tmp_path: Path) -> None:
    with pytest.raises(InventoryError, match=f"{KEY}password_env: the environment variable WORD is not set"):
        passwords(site(tmp_path, password_env="WORD"), {})
