"""The variables of a haproxy.cfg: which are asked for, what the host says, and what HAProxy reads in their place."""

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.commands import haproxy_environment
from runbooks.commands.base import Answer
from runbooks.commands.haproxy_environment import Environment, names, replaced
from runbooks.commands.haproxy_sections import sections
from tests.support.fakes import bash

pytestmark = pytest.mark.unit

KNOWN = Environment(
    {"VIP": "10.1.1.100", "PORT": "6443", "ALL": "10.1.1.8:80  10.1.1.9:80", "ODD": '"\\', "NONE": None, "EMPTY": ""}
)


def binds(line, environment=KNOWN):
    return [str(bind) for each in sections(f"frontend a\n {line}\n", environment=environment) for bind in each.binds]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ('bind "${VIP}:6443"', ["10.1.1.100:6443"]),
        ('bind "$VIP:$PORT"', ["10.1.1.100:6443"]),
        ('bind "$VIP":"$PORT"', ["10.1.1.100:6443"]),
        ("bind ${VIP}:$PORT", ["10.1.1.100:6443"]),  # an address is also read outside quotes
        ('bind "${NONE-10.0.0.1}:80"', ["10.0.0.1:80"]),
        ('bind "${EMPTY-10.0.0.1}:80"', ["*:80"]),  # the default is only for one that is not set
        ('bind "$NONE:80"', ["*:80"]),
        ('bind "${VIP-10.0.0.1}:80,:81"', ["10.1.1.100:80", "*:81"]),
        ("bind '$VIP:80'", []),
        ('bind "\\$VIP:80"', []),
        ('bind "$OTHER:80"', []),
        ('bind "${OTHER-10.0.0.1}:80"', []),
        ("bind :80 # $OTHER", ["*:80"]),
        ("frontend b", []),
    ],
)
def test_where_a_front_end_listens(line, found):
    assert binds(line) == found


def test_a_list_becomes_several_words():
    assert sections('listen a\n use_backend "${ALL[*]}"\n', environment=KNOWN)[0].statements == [
        ["use_backend", "10.1.1.8:80", "10.1.1.9:80"]
    ]


def test_a_name_is_read_only_within_double_quotes():
    (one, two) = sections('frontend $PORT\nfrontend "$PORT"\n', environment=KNOWN)
    assert (one.name, two.name) == ("$PORT", "6443")


def test_quotes_in_a_value_end_no_word():
    assert sections('listen a\n server s "${ODD}x" check\n', environment=KNOWN)[0].statements == [
        ["server", "s", '"\\x', "check"]
    ]


@pytest.mark.parametrize(
    ("lines", "value"),
    [
        ("setenv VIP 10.0.0.2", "10.0.0.2"),
        ("presetenv VIP 10.0.0.2", "10.1.1.100"),
        ('presetenv NONE 10.0.0.2\n setenv VIP "$NONE"', "10.0.0.2"),
        ("setenv VIP '$NONE'", "$NONE"),
        ("unsetenv VIP", ""),
        ("unsetenv VIP\n presetenv VIP 10.0.0.2", "10.0.0.2"),
        ("resetenv PORT", ""),
        ("resetenv PORT VIP", "10.1.1.100"),
        ('setenv VIP "$OTHER"', None),
        (".if defined(X)\n setenv VIP 10.0.0.2\n .endif", None),
        (".if defined(X)\n unsetenv VIP\n .endif", None),
        (".if defined(X)\n presetenv VIP 10.0.0.2\n .endif", "10.1.1.100"),
        ('presetenv OTHER 10.0.0.2\n setenv VIP "$OTHER"', None),  # it may be set already
        ("daemon\ndefaults\n setenv VIP 10.0.0.2", "10.1.1.100"),
    ],
)
def test_what_global_sets_is_read_below_it(lines, value):
    done = replaced(f'global\n {lines}\nfrontend a\n bind "$VIP"\n', KNOWN)
    last = done.text.split("\n")[-2]
    assert last == (' bind "$VIP"' if value is None else f' bind "{value}"')


def test_a_variable_that_is_not_known_is_named_with_its_line():
    text = 'frontend a\n bind "$VIP:80"\n bind "$OTHER:80"\nbackend b\n server s ${HOST}:80\n'
    assert replaced(text, KNOWN).unknown == ((3, "OTHER"), (5, "HOST"))


def test_only_variables_of_addresses_and_names_are_asked_for():
    text = 'global\n presetenv B "$A"\nuserlist u\n user x password "$HASH"\nfrontend f\n stats auth "$LOGIN"\n bind "$B"\n'
    assert names([text]) == {"A", "B"}


@given(st.text(alphabet="ab $\"'\\#{}-[]*\nVIP_:bindserver"))
def test_no_text_ends_the_reader_or_loses_a_line(text):
    done = replaced(text, KNOWN)
    assert done.text.count("\n") == text.count("\n")
    assert replaced(text, Environment()).text == text
    assert "".join(each.text for each in sections(text, environment=KNOWN)) == text


SYSTEMCTL = """systemctl() { # show haproxy -p PROPERTY --value
    case $* in
    show-environment) printf 'LANG=C\\nVIP=10.0.0.1\\n' ;;
    *MainPID*) echo "$main" ;;
    *LoadState*) echo loaded ;;
    *EnvironmentFiles*) echo "$file (ignore_errors=yes)" ;;
    *PassEnvironment*) echo "$pass" ;;
    *Environment*) echo 'PORT=1 "NAME=a b"' ;;
    esac
}
"""


def asked(tmp_path, *, main="0", passed="", wanted=("HAPROXY_BRANCH", "NAME", "NOT", "PORT", "VIP")):
    """Return what a host says whose unit has these settings."""
    file = tmp_path / "default"
    file.write_text('# PORT=3\nPORT="2"\nTOKEN=hush\nVIPS=1')
    probe = haproxy_environment.look(wanted)
    done = bash(f"main={main} file={file} pass={passed!r}\n{SYSTEMCTL}{probe.command.program}")
    assert b64encode(b"TOKEN=hush").decode() not in done.stdout
    return probe.parse(done).values


def test_the_unit_of_a_haproxy_that_does_not_run(tmp_path):
    values = {"NAME": "a b", "NOT": None, "PORT": "2", "VIP": "10.0.0.1"}
    assert asked(tmp_path) == values
    assert asked(tmp_path, passed="NOT") == {name: each for name, each in values.items() if name != "NOT"}


def test_what_haproxy_runs_with_counts(tmp_path, monkeypatch):
    monkeypatch.setenv("VIP", "10.0.0.2\n")
    monkeypatch.setenv("PORT", "")
    assert asked(tmp_path, main="$BASHPID") == {"NAME": None, "NOT": None, "PORT": "", "VIP": "10.0.0.2\n"}


def test_an_answer_that_is_not_known():
    with pytest.raises(ValueError, match="lb-environment printed 'what'"):
        haproxy_environment.look(["A"]).parse(Answer(0, "what QQ==\n"))
