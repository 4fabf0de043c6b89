"""Commands as data: quoting proven by real bash, secrets that never show, several probes in one round trip."""

import os
import shlex
from base64 import b64encode

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from runbooks.commands import base
from runbooks.commands.base import Answer, Command, Probe, Secret, batch, cmd, optional, script
from tests.support.fakes import bash

pytestmark = pytest.mark.unit

# Whatever bash can hold in a variable: everything but NUL, and half characters that have no encoding.
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
NASTY = [
    "",
    " ",
    "'",
    '"',
    "\\",
    "$(reboot)",
    "`x`",
    "${x}",
    "!",
    "~",
    "*",
    "-n",
    "--",
    "a\nb",
    "\t",
    "[0]=x",
    "x=y",
    "#",
    ";",
    "\r",
    "ü€🚀",
]


@settings(max_examples=30, deadline=None)
@given(st.lists(TEXT, min_size=1, max_size=6))
@example(NASTY)
def test_words_reach_the_program_unchanged(words):
    answer = bash(cmd("printf", r"%s\0", *words).program)
    assert answer.stdout.split("\0")[:-1] == words


@settings(max_examples=30, deadline=None)
@given(text=TEXT, words=st.lists(TEXT, max_size=5))
@example(text="a\n\n", words=NASTY)
def test_variables_reach_a_host_script_unchanged(text, words):
    with scripts_in(r"""printf '%s\0' "$ONE" "${#MANY[@]}" "${MANY[@]}" """):
        command = script("any", {"ONE": text, "MANY": words})
    assert bash(command.program).stdout.split("\0")[:-1] == [text, str(len(words)), *words]


def test_a_program_alone_is_one_word():
    assert cmd("systemctl", "reload", "haproxy").program == "systemctl reload haproxy"
    assert str(cmd("echo", "a b")) == "echo 'a b'"


def test_what_is_expected_can_be_widened_without_changing_the_command():
    command = cmd("systemctl", "is-active", "haproxy")
    wider = command.expecting(0, 3)
    assert (command.expect, wider.expect) == ({0}, {0, 3})
    assert (wider.program, wider.shown, wider.timeout, wider.root) == (
        command.program,
        command.shown,
        command.timeout,
        command.root,
    )


def test_a_command_can_be_compared_and_be_a_key():
    assert cmd("a", "b") == cmd("a", "b")
    assert len({cmd("a", "b"), cmd("a", "b"), cmd("a", "b", root=False)}) == 2


@pytest.mark.parametrize("bad", ["no-such-script"])
def test_a_host_script_that_is_not_there_is_a_bug(bad):
    with pytest.raises(FileNotFoundError):
        script(bad)


def test_every_host_script_is_under_its_name():
    for path in base.HOST_SCRIPTS.glob("*.sh"):
        assert script(path.stem).program.endswith(path.read_text())


# ---- secrets


def shown_of(command: Command) -> str:
    return " ".join([str(command), repr(command), command.shown, repr(Probe(command, str)), f"{command}", repr([command])])


@given(st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=8, max_size=300))
def test_a_secret_shows_nowhere(word):
    secret = Secret(word)
    with scripts_in("true"):
        commands = [
            cmd("login", secret),
            script("any", {"PASSWORD": secret}),
            script("any", {"WORDS": ["open", secret]}),
            cmd("login", secret).expecting(0, 1),
        ]
    batched = batch(*(Probe(command, str) for command in commands)).command
    for command in [*commands, batched]:
        assert word not in shown_of(command)
        assert word in command.program


def test_a_secret_has_no_representation():
    assert repr(Secret("hunter2")) == "***"
    assert repr({"password": [Secret("hunter2")]}) == "{'password': [***]}"
    assert Secret("hunter2") == "hunter2"  # it is still the word itself where it is sent


def test_long_variables_are_shown_short():
    with scripts_in("true"):
        command = script("any", {"TEXT": "x" * 1000, "WORDS": ["y" * 1000, Secret("hunter2")]})
    assert len(command.shown) < 200
    assert "hunter2" not in command.shown


# ---- batch


def reading(program: str, *expect: int, parse=lambda answer: answer) -> Probe:
    return Probe(Command(program, program.split("\n", maxsplit=1)[0]).expecting(*(expect or (0,))), parse)


def ask(*probes: Probe):
    probe = batch(*probes)
    return probe.parse(bash(probe.command.program))


@pytest.mark.parametrize(
    "program",
    [
        "echo one",
        "printf 'no line break'",
        "true",
        "printf '\\n\\n \\n'",
        "echo a # with a comment",
        "# a comment first\ntrue",
        "echo 'ü €'; printf '\\t x  y '",
        "cat <<'EOF'\n$(not run) `nor this` )\nEOF",
        "case x in x) echo matched ;; esac",
        'f() { echo "from $1"; }; f "a \'b\' \\"c\\""',
        "echo out; echo err >&2",
        'x=$(printf \'%s\' "a b"); echo "$x"',
        "if true; then\necho yes\nfi",
        "echo '(' \"unbalanced )\"",
        "head -c 300000 /dev/zero | tr '\\0' x",
    ],
)
def test_a_probe_reads_the_same_in_a_batch_as_alone(program):
    alone = bash(program)
    first, second = ask(reading(program), reading("echo next"))
    assert (first.exited, first.stdout) == (alone.exited, alone.stdout)
    assert second.stdout == "next\n"


def test_binary_output_is_readable_text():
    (answer,) = ask(reading(r"printf '\377a\0b'"))
    assert answer.stdout == "\ufffda\0b"


@pytest.mark.parametrize("code", [0, 1, 69, 255])
def test_exit_statuses_come_back_one_by_one(code):
    first, second = ask(reading(f"echo x; exit {code}", code), reading("exit 3", 0, 3))
    assert (first.exited, first.stdout, second.exited) == (code, "x\n", 3)


def test_an_unexpected_exit_status_names_the_probe():
    with pytest.raises(ValueError, match=r"^`exit 4` exited 4$"):
        ask(reading("true"), reading("exit 4"))


def test_one_probe_cannot_disturb_the_next():
    program = "set -eu; x=1; cd /; umask 000; trap 'echo bye' EXIT; exec 1>&2; exit 0"
    _, second = ask(reading(program), reading('echo "${x-unset} $(umask) $-"; false; echo "still here"'))
    assert second.stdout.startswith("unset 0077 ")
    assert second.stdout.endswith("\nstill here\n")
    assert "e" not in second.stdout.split("\n", 1)[0].split()[-1]


def test_pipes_fail_as_a_whole_inside_a_batch():
    (answer,) = ask(reading("false | true", 0, 1))
    assert answer.exited == 1


def test_batches_can_be_nested():
    inner = batch(reading("echo 1"), reading("echo 2"))
    first, last = ask(inner, reading("echo 3"))
    assert [answer.stdout for answer in (*first, last)] == ["1\n", "2\n", "3\n"]


def test_readings_are_parsed_by_their_own_probe():
    assert ask(
        reading("echo 17", parse=lambda answer: int(answer.stdout)), reading("echo x", parse=lambda answer: answer.stdout)
    ) == (
        17,
        "x\n",
    )


def test_a_batch_runs_as_root_when_one_of_its_probes_must():
    user, root = Probe(cmd("id", root=False), str), Probe(cmd("id"), str)
    assert batch(user, root).command.root
    assert not batch(user, user).command.root


def test_a_batch_has_the_time_that_its_probes_need():
    """At the same time that of the slowest, and some more; one after the other that of all."""
    probes = [Probe(cmd("a", timeout=20), str), Probe(cmd("b", timeout=60), str), Probe(cmd("c", timeout=30), str)]
    assert batch(*probes).command.timeout == 80
    assert batch(*probes, in_turn=True).command.timeout == 110


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.binary(max_size=200), st.integers(0, 255)), min_size=1, max_size=5))
def test_any_outputs_and_exit_statuses_keep_their_place(parts):
    probes = [reading(f"echo {b64encode(data).decode()} | base64 -d; exit {code}", code) for data, code in parts]
    answers = ask(*probes)
    assert [(a.exited, a.stdout) for a in answers] == [(code, data.decode(errors="replace")) for data, code in parts]


ANSWERS = st.lists(st.text(max_size=30), max_size=4).map("\n".join) | st.text(max_size=80)


@settings(max_examples=50)
@given(ANSWERS)
@example("")
@example("YQ== 0")
@example("a b c")
@example("ü 0\nü 0")
def test_a_mangled_answer_is_a_value_error_that_says_so(stdout):
    probe = batch(reading("echo 1"), reading("echo 2"))
    try:
        readings = probe.parse(Answer(0, stdout))
    except ValueError as error:
        readings, said = (None, None), str(error)
    else:
        said = ""
    assert len(readings) == 2
    assert "zip()" not in said


# ---- helpers


class scripts_in:  # noqa: N801 - reads as a sentence
    """A directory of host scripts with the one script ``any``."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __enter__(self):
        self._before = base._host_script
        base._host_script = lambda name: self.text

    def __exit__(self, *_):
        base._host_script = self._before


def test_the_shown_line_could_be_typed():
    assert shlex.split(cmd("echo", *NASTY).shown) == ["echo", *NASTY]


def test_the_parts_of_a_batch_run_at_the_same_time(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    first, second = ask(reading(f"read -r said <{pipe}; echo got $said"), reading(f"echo word >{pipe}; echo sent"))
    assert (first.stdout, second.stdout) == ("got word\n", "sent\n")


def test_in_turn_the_next_part_begins_when_the_one_before_has_ended(tmp_path):
    file = tmp_path / "file"
    probe = batch(reading(f"sleep 0.2; echo one >>{file}"), reading(f"echo two >>{file}"), in_turn=True)
    probe.parse(bash(probe.command.program))
    assert file.read_text() == "one\ntwo\n"


@pytest.mark.parametrize(("program", "result"), [("echo 7", 7), ("echo seven", None), ("echo 7; exit 1", None)])
def test_a_part_that_may_fail_costs_the_others_nothing(program, result):
    said = ask(optional(reading(program, parse=lambda answer: int(answer.stdout))), reading("echo next"))
    assert (said[0], said[1].stdout) == (result, "next\n")


def test_the_answers_of_the_parts_can_be_taken_apart_and_put_together():
    probe = batch(reading("echo 1"), reading("exit 3", 0, 3))
    answers = probe.split(bash(probe.command.program))
    assert [(each.exited, each.stdout) for each in answers] == [(0, "1\n"), (3, "")]
    assert probe.read(answers) == answers
    with pytest.raises(ValueError, match="0 of 2 answers came back from `echo 1; exit 3`"):
        probe.split(Answer(0, "else"))
