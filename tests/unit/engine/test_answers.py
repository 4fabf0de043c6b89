"""What an answer of a host means: output before our mark is not ours, and a login that starts no program is named for what it is."""

import pytest

from runbooks.commands.base import Answer, cmd
from runbooks.engine.answers import judged
from runbooks.engine.channel import TIMED_OUT
from runbooks.engine.start import INCOMPLETE, MARK
from runbooks.errors import CommandError, ConnectionLost, UnreachableError
from tests.support.fakes import lb, site

pytestmark = pytest.mark.unit

COMMAND = cmd("uptime", timeout=30)
LB1 = lb(1)


def test_what_comes_before_the_mark_is_cut_on_both_outputs():
    answer = Answer(0, f"Welcome{MARK}up 3 days\n", f"sudo: unable to resolve host lb1\n{MARK}slow\n")
    assert judged(site(), LB1, COMMAND, answer) == Answer(0, "up 3 days\n", "slow\n")


def test_an_error_shows_the_commands_own_words_only():
    answer = Answer(1, f"Welcome\n{MARK}", f"motd\n{MARK}no such file\n")
    with pytest.raises(CommandError) as caught:
        judged(site(), LB1, COMMAND, answer)
    assert str(caught.value) == "lb1: `uptime` exited 1\n  no such file"


def test_a_connection_that_broke_before_our_program_started_is_no_refusal():
    with pytest.raises(ConnectionLost):
        judged(site(), LB1, COMMAND, Answer(-1, "", ""))


@pytest.mark.parametrize(
    ("answer", "message", "hint"),
    [
        (Answer(1, "", "sudo: a password is required\n"), "cannot run commands there as root", "sudo -n true"),
        (Answer(1, "", "motd\nsudo: sorry, you must have a tty to run sudo\n"), "wants a terminal", "`Defaults:ops !requiretty`"),
        (Answer(1, "", "Sorry, user ops is not allowed to execute 'x' as root on lb1.\n"), "as root", "sudoers"),
        (Answer(127, "", "bash: line 1: exec: sudo: not found\n"), "sudo is not installed", "install sudo"),
        (Answer(127, "", "fish: Unknown command: sudo\n"), "sudo is not installed", "install sudo"),
        (Answer(1, "", "sudo: bash: command not found\n"), "bash is not installed", "install bash"),
        (Answer(1, "This account is currently not available.\n", ""), "runs no commands (nologin)", "usermod"),
        (Answer(1, "", ""), "runs no commands (it is false, or it ends at once)", "usermod"),
        (
            Answer(1, "", "WARNING: Your password has expired.\nPassword change required but no TTY available.\n"),
            "has expired",
            "chage",
        ),
        (Answer(TIMED_OUT, "hello\n", ""), "did not end in 30 s", "find out what waits"),
        (Answer(INCOMPLETE, "", ""), "read what was sent to our program", "on a terminal only"),
        (
            Answer(3, "closed\n", ""),
            "ended before our program was started (exit status 3)\n  closed",
            "must end with exit status 0",
        ),
    ],
)
def test_a_login_that_starts_no_program_is_named_for_what_it_is(answer, message, hint):
    with pytest.raises(UnreachableError) as caught:
        judged(site(), LB1, COMMAND, answer)
    assert message in str(caught.value)
    assert hint in caught.value.hint
    assert "{" not in f"{caught.value}{caught.value.hint}"
