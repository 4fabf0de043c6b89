"""The password of VRRP version 2: always the same, never readable by other users, never printed."""

import multiprocessing
import re
import stat
from pathlib import Path

import pytest

from runbooks.commands.base import Secret
from runbooks.commands.lb_paths import OURS
from runbooks.errors import InventoryError, PrecheckError, UnreachableError
from runbooks.lb.auth_pass import FILE_NAME, VARIABLE, auth_pass, of_site
from tests.support.fakes import lb

pytestmark = pytest.mark.unit


def test_made_once_and_kept(tmp_path: Path) -> None:
    made = auth_pass(tmp_path, {})
    assert re.fullmatch(r"[A-Za-z0-9]{8}", made)
    assert isinstance(made, Secret)
    assert repr(made) == "***"
    assert auth_pass(tmp_path, {}) == made
    assert stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode) == 0o600
    assert (tmp_path / FILE_NAME).read_text() == f"{made}\n"
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]  # no candidate left behind


def test_two_sites_have_two_passwords(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    assert auth_pass(one, {}) != auth_pass(two, {})


def test_the_environment_goes_first_and_leaves_no_file(tmp_path: Path) -> None:
    given = auth_pass(tmp_path, {VARIABLE: "Ab3._-xY"})
    assert given == "Ab3._-xY"
    assert isinstance(given, Secret)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "value", ["", "short12", "toolong12", "with spa", "hash#123", "bang!123", 'quote"12', "quote'12", "dollar$1", "brace{12", "back\\sla",
              "line12\nx", "8charsé1", "abcdefgh\n", "at@12345", "tilde~12", "tab\t1234", "nul\x001234"],
)  # fmt: skip
def test_a_value_keepalived_would_misread_is_refused_and_not_shown(value: str, tmp_path: Path) -> None:
    with pytest.raises(InventoryError, match=VARIABLE) as caught:
        auth_pass(tmp_path, {VARIABLE: value})
    assert "exactly 8 characters out of A-Z a-z 0-9 . _ -" in str(caught.value)
    assert not value or value not in f"{caught.value}{caught.value.hint}"
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o620, 0o644, 0o666])
def test_a_file_open_to_others_is_refused(mode: int, tmp_path: Path) -> None:
    made = auth_pass(tmp_path, {})
    path = tmp_path / FILE_NAME
    path.chmod(mode)
    with pytest.raises(InventoryError, match=rf"mode 0{mode:o}") as caught:
        auth_pass(tmp_path, {})
    assert f"chmod 600 {path}" in caught.value.hint
    assert made not in f"{caught.value}{caught.value.hint}"


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"short\n", b"ninechars\n", b"abcdefgh\n\n", b"abcd efg\n", b"\xff" * 8, b"abcdefg!\n"]
)
def test_a_malformed_file_is_refused_and_left_alone(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(InventoryError, match=r"vrrp-auth-pass must hold exactly 8 characters") as caught:
        auth_pass(tmp_path, {})
    assert "delete it" in caught.value.hint
    assert path.read_bytes() == content


def test_a_password_written_by_hand(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    path.touch(mode=0o600)
    path.write_text("Keep-me.")
    assert auth_pass(tmp_path, {}) == "Keep-me."


def test_a_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(InventoryError, match="vrrp-auth-pass"):
        auth_pass(tmp_path, {})
    with pytest.raises(InventoryError, match="cannot be used: No such file or directory"):
        auth_pass(tmp_path / "nowhere", {})


def test_a_dangling_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).symlink_to(tmp_path / "gone")
    with pytest.raises(InventoryError, match="cannot be used"):
        auth_pass(tmp_path, {})
    assert not (tmp_path / "gone").exists()


def _ask(state: Path, barrier, answers) -> None:
    barrier.wait()
    answers.put(str.__str__(auth_pass(state, {})))


def test_several_at_once_agree(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    barrier, answers = fork.Barrier(6), fork.Queue()
    asking = [fork.Process(target=_ask, args=(tmp_path, barrier, answers)) for _ in range(6)]
    for process in asking:
        process.start()
    found = {answers.get(timeout=60) for _ in asking}
    for process in asking:
        process.join(60)
    assert len(found) == 1
    assert found == {auth_pass(tmp_path, {})}
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


# ---- the LBs have one already


def conf(password: str = "", first: str = OURS) -> str:
    return f"# lb1 of x: {first} from hosts.yaml\nvrrp_instance x {{\n    {f'auth_pass {password}' if password else ''}\n}}\n"


THEIRS = {lb(1): conf("theirs_1"), lb(2): conf("theirs_1")}


def test_a_second_operator_without_the_password_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PrecheckError, match="lb1, lb2: there is a VRRP password") as caught:
        of_site(tmp_path, {}, THEIRS, {})
    assert str(tmp_path / FILE_NAME) in caught.value.hint  # where to copy it to
    assert "--new-password" in caught.value.hint
    assert "theirs_1" not in f"{caught.value}{caught.value.hint}"
    assert not list(tmp_path.iterdir())


def test_a_second_operator_with_another_password_is_refused(tmp_path: Path) -> None:
    auth_pass(tmp_path, {})
    with pytest.raises(PrecheckError, match="holds another one"):
        of_site(tmp_path, {}, THEIRS, {})
    with pytest.raises(PrecheckError, match=f"{VARIABLE} holds another one"):
        of_site(tmp_path, {VARIABLE: "another1"}, THEIRS, {})


def test_the_hint_is_for_where_the_other_password_is(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    auth_pass(tmp_path, {})
    with pytest.raises(PrecheckError) as caught:
        of_site(tmp_path, {}, THEIRS, {})
    assert f"delete {path} (else its password is installed), then inv lb.setup --new-password" in caught.value.hint
    with pytest.raises(PrecheckError) as caught:
        of_site(tmp_path, {VARIABLE: "another1"}, THEIRS, {})
    assert caught.value.hint.startswith(f"unset {VARIABLE} (then {path} is used)")
    assert "delete" not in caught.value.hint


OFF = UnreachableError("lb2 (10.1.1.12): no answer")


@pytest.mark.parametrize(
    ("there", "silent"),
    [({}, {lb(1): OFF, lb(2): OFF}), ({lb(1): conf()}, {lb(2): OFF}), ({lb(1): conf("x", "by hand")}, {lb(2): OFF})],
)
def test_none_is_made_while_an_lb_that_may_have_one_does_not_answer(there: dict, silent: dict, tmp_path: Path) -> None:
    for keep in (True, False):
        with pytest.raises(UnreachableError, match=r"(?s)lb2: may have a VRRP password.*\n  lb2 \(10.1.1.12\): no answer\Z"):
            of_site(tmp_path, {}, there, silent, keep=keep)
    assert not list(tmp_path.iterdir())
    assert of_site(tmp_path, {VARIABLE: "theirs_1"}, there, silent) == "theirs_1"


def test_an_lb_that_answers_is_enough_to_know_the_password(tmp_path: Path) -> None:
    with pytest.raises(PrecheckError, match="lb1: there is a VRRP password"):
        of_site(tmp_path, {}, {lb(1): conf("theirs_1")}, {lb(2): OFF})
    auth_pass(tmp_path, {VARIABLE: "theirs_1"})
    assert of_site(tmp_path, {VARIABLE: "theirs_1"}, {lb(1): conf("theirs_1")}, {lb(2): OFF}) == "theirs_1"


def test_the_same_password_is_let_pass(tmp_path: Path) -> None:
    assert of_site(tmp_path, {VARIABLE: "theirs_1"}, THEIRS, {}) == "theirs_1"
    (tmp_path / FILE_NAME).touch(mode=0o600)
    (tmp_path / FILE_NAME).write_text("theirs_1\n")
    assert of_site(tmp_path, {}, THEIRS, {}) == "theirs_1"


def test_an_interrupted_change_of_the_password_goes_on(tmp_path: Path) -> None:
    assert of_site(tmp_path, {VARIABLE: "newer_01"}, {lb(1): conf("theirs_1"), lb(2): conf("newer_01")}, {}) == "newer_01"


@pytest.mark.parametrize("there", [{}, {lb(1): conf()}, {lb(1): conf("foreign1", "by hand")}])
def test_without_one_of_ours_on_the_lbs_it_is_made(there: dict, tmp_path: Path) -> None:
    assert of_site(tmp_path, {}, there, {}) == auth_pass(tmp_path, {})


def test_a_plan_keeps_nothing(tmp_path: Path) -> None:
    assert len(of_site(tmp_path, {}, {}, {}, keep=False)) == 8
    assert not list(tmp_path.iterdir())
