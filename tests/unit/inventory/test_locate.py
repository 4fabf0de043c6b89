"""Which site file a command is about, and where its state is kept."""

import os
import stat
from pathlib import Path

import pytest

from runbooks.errors import InventoryError
from runbooks.inventory import locate as module
from runbooks.inventory.load import load_site
from runbooks.inventory.locate import LAB_RUN, locate, state_directory
from runbooks.inventory.model import Site

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[3]


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "LAB_RUN", tmp_path)
    for name in ("default", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "site.yaml").touch()
    return tmp_path


@pytest.fixture
def site() -> Site:
    return load_site(ROOT / "hosts.yaml").site


def test_the_lab_is_where_everybody_expects_it() -> None:
    assert Path("/run/ha-lab") == LAB_RUN


@pytest.mark.parametrize("environ", [{}, {"RUNBOOKS_SITE": ""}, {"RUNBOOKS_LAB": "two"}])
def test_by_default_the_file_in_the_checkout(environ: dict[str, str]) -> None:
    assert locate(environ, Path("/checkout")) == Path("/checkout/hosts.yaml")


def test_the_lab(lab: Path) -> None:
    assert locate({"RUNBOOKS_SITE": "lab"}, ROOT) == lab / "default/site.yaml"
    assert locate({"RUNBOOKS_SITE": "lab", "RUNBOOKS_LAB": "two"}, ROOT) == lab / "two/site.yaml"
    assert locate({"RUNBOOKS_SITE": "lab:two", "RUNBOOKS_LAB": "default"}, ROOT) == lab / "two/site.yaml"


@pytest.mark.parametrize(
    ("environ", "said", "hint"),
    [
        ({"RUNBOOKS_SITE": "lab:three"}, "the lab three is not up", "RUNBOOKS_LAB=three inv lab.up"),
        ({"RUNBOOKS_SITE": "lab", "RUNBOOKS_LAB": "three"}, "the lab three is not up", "RUNBOOKS_LAB=three inv lab.up"),
        ({"RUNBOOKS_SITE": "lab:../.."}, "RUNBOOKS_SITE: ../.. is not a name", "unset RUNBOOKS_SITE"),
        ({"RUNBOOKS_SITE": "lab:"}, "RUNBOOKS_SITE: '' is not a name", "unset RUNBOOKS_SITE"),
        ({"RUNBOOKS_SITE": "lab", "RUNBOOKS_LAB": "/etc"}, "RUNBOOKS_LAB: /etc is not a name", "unset RUNBOOKS_LAB"),
    ],
)
def test_no_such_lab(lab: Path, environ: dict[str, str], said: str, hint: str) -> None:
    with pytest.raises(InventoryError, match=said) as caught:
        locate(environ, ROOT)
    assert caught.value.hint == hint
    assert caught.value.exit_code == 2


def test_the_default_lab_is_not_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LAB_RUN", tmp_path)
    with pytest.raises(InventoryError) as caught:
        locate({"RUNBOOKS_SITE": "lab"}, ROOT)
    assert caught.value.hint == "inv lab.up"


def test_any_other_value_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/somebody")
    assert locate({"RUNBOOKS_SITE": "sites/a.yaml"}, ROOT) == tmp_path / "sites/a.yaml"
    assert locate({"RUNBOOKS_SITE": "./lab"}, ROOT) == tmp_path / "lab"
    assert locate({"RUNBOOKS_SITE": "/etc/a.yaml"}, ROOT) == Path("/etc/a.yaml")
    assert locate({"RUNBOOKS_SITE": "~/a.yaml"}, ROOT) == Path("/home/somebody/a.yaml")


def test_a_home_that_nobody_has() -> None:
    with pytest.raises(InventoryError, match="no such home directory"):
        locate({"RUNBOOKS_SITE": "~nobody-of-that-name/a.yaml"}, ROOT)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_state_directory_is_private(tmp_path: Path, site: Site) -> None:
    old = os.umask(0)
    try:
        state = state_directory(tmp_path / "hosts.yaml", site)
    finally:
        os.umask(old)
    assert state == tmp_path / ".runbooks" / "ha-cluster"
    assert mode(state) == mode(state.parent) == 0o700
    assert (state.parent / ".gitignore").read_text() == "*\n"
    assert state_directory(tmp_path / "hosts.yaml", site) == state


def test_an_open_state_directory_is_closed(tmp_path: Path, site: Site) -> None:
    (tmp_path / ".runbooks" / "ha-cluster").mkdir(parents=True)
    (tmp_path / ".runbooks" / "ha-cluster").chmod(0o777)
    assert mode(state_directory(tmp_path / "hosts.yaml", site)) == 0o700


def test_no_room_for_state(tmp_path: Path, site: Site) -> None:
    (tmp_path / ".runbooks").touch()
    with pytest.raises(InventoryError, match=r"ha-cluster: cannot be used for this site's state: File exists") as caught:
        state_directory(tmp_path / "hosts.yaml", site)
    assert caught.value.hint
