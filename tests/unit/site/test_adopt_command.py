"""What the command does besides looking: the VRRP password is kept where lb.setup expects it, load balancers are asked for."""

from __future__ import annotations

import io
import json
import stat
from functools import partial
from ipaddress import ip_address
from types import SimpleNamespace

import pytest
import yaml

from runbooks.engine.tasks import error_event
from runbooks.errors import DegradedError, InventoryError, OutcomeError, PrecheckError, UnreachableError
from runbooks.lb.auth_pass import auth_pass
from runbooks.site import asking
from runbooks.site.adopt import command
from runbooks.site.adopt import ground as grounds
from runbooks.site.adopt.command import ask, keep_password
from tests.support import ROOT
from tests.unit.site import adopted

FILE = "vrrp-auth-pass"


@pytest.mark.parametrize("theirs", ["mypasswo", "mypassword"])
def test_it_is_where_lb_setup_expects_it(tmp_path, capsys, theirs):
    keep_password(tmp_path / "hosts.yaml", "site", theirs)
    state = tmp_path / ".runbooks" / "site"
    assert auth_pass(state, {}) == "mypasswo"
    assert stat.S_IMODE((state / FILE).stat().st_mode) == 0o600
    assert "mypasswo" not in capsys.readouterr().out


def test_one_that_lb_setup_could_not_use_is_said_and_not_kept(tmp_path, capsys):
    keep_password(tmp_path / "hosts.yaml", "site", "42")
    assert "--new-password" in capsys.readouterr().out
    assert not (tmp_path / ".runbooks" / "site" / FILE).exists()


def test_the_password_of_another_site_of_that_name_stays_and_is_said(tmp_path, capsys):
    keep_password(tmp_path / "hosts.yaml", "site", "mypassword")
    with pytest.raises(InventoryError, match="is there, and is not the VRRP password of these load balancers") as refused:
        keep_password(tmp_path / "hosts.yaml", "site", "other-one")
    assert auth_pass(tmp_path / ".runbooks" / "site", {}) == "mypasswo"
    assert [
        word for word in ("mypasswo", "other-on") if word in str(refused.value) + refused.value.hint + capsys.readouterr().out
    ] == []


def test_without_a_terminal_load_balancers_that_were_not_found_end_it(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    with pytest.raises(PrecheckError, match=r"lb1 \(10\.1\.1\.11\): all that was found(.|\n)*heard of 10\.1\.1\.12") as refused:
        ask(["lb1 (10.1.1.11): all that was found behind 10.1.1.100"], [ip_address("10.1.1.12")])
    assert "--lb" in refused.value.hint


def test_the_end_of_the_input_is_no_answer(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(" yes \n"))
    assert (asking.answered("? "), asking.answered("? ")) == ("yes", "")


# ---- the whole command, after the hosts were asked


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run site.adopt in a directory without an example, on a machine without labs, as if it had seen `seen`; return the file that it wrote."""
    monkeypatch.setattr(grounds, "LAB_RUN", tmp_path / "no labs")
    monkeypatch.setattr(command, "ROOT", tmp_path)
    monkeypatch.delenv("RUNBOOKS_SITE", raising=False)
    monkeypatch.setattr(command, "examine", lambda file: print("the doctor looks") or {"ok": True, "findings": []})

    def run(seen, root=tmp_path, **more):
        def look(logins, lbs):
            logins.of("master1", ip_address("10.1.1.101"))
            return seen

        monkeypatch.setattr(command, "ROOT", root)
        monkeypatch.setattr(
            command, "Explorer", lambda _, logins, *more: SimpleNamespace(explore=partial(look, logins), close=str)
        )
        file = tmp_path / "mine.yaml"
        command.adopt(host="ops@192.0.2.1", kubeconfig="", lbs="", output=str(file), key="", yes=False, **more)
        return file

    return run


def test_what_differs_is_said_and_the_password_kept_also_when_the_file_has_something_to_put_right(run, tmp_path, capsys):
    with pytest.raises(DegradedError, match="to put right"):
        run(adopted.seen(balancers=adopted.seen().balancers[1:]))
    said = capsys.readouterr().out
    assert "only lb1 was found behind 10.1.1.100" in said
    assert "the doctor looks" not in said
    assert auth_pass(tmp_path / ".runbooks" / "kubernetes", {}) == "mypasswo"


def test_a_way_that_cannot_be_said_is_said_also_when_the_host_does_not_answer(run, monkeypatch, capsys):
    def look(logins, lbs):
        logins.notes.append("m1: nc ... on the way to it cannot be said here")
        raise UnreachableError("m1: no answer")

    monkeypatch.setattr(command, "Explorer", lambda _, logins, *more: SimpleNamespace(explore=partial(look, logins), close=str))
    with pytest.raises(UnreachableError):
        command.adopt(host="ops@192.0.2.1", kubeconfig="", lbs="", output="mine.yaml", key="", yes=False)
    assert "note: m1: nc ... on the way to it" in capsys.readouterr().out


def test_a_file_without_a_mistake_goes_to_the_doctor(run, capsys):
    file = run(adopted.seen())
    said = capsys.readouterr().out
    assert file.read_text().startswith("# Written by `inv site.adopt`")
    assert said.index("what differs") < said.index("the doctor looks")
    assert run(adopted.seen()) == file
    assert "says what was found; nothing was written" in capsys.readouterr().out


def test_a_file_is_not_compared_with_half_a_site(run):
    file = run(adopted.seen())
    before = file.read_text()
    with pytest.raises(InventoryError, match="no whole site file") as refused:
        run(adopted.seen(balancers=()))
    assert (file.read_text(), "--output" in refused.value.hint, f"{file.name}:" in str(refused.value)) == (before, True, False)


def test_nothing_is_written_about_addresses_that_later_commands_must_not_connect_to(run, tmp_path):
    with pytest.raises(PrecheckError, match=r"10\.1\.1\.100 is in 10\.1\.1\.0/24, the network of the example site"):
        run(adopted.seen(), root=ROOT)
    assert list(tmp_path.iterdir()) == []


# ---- what others may read, and what programs read


SECRETS = {
    "apiServer": {
        "extraArgs": {
            "v": "2",
            "oidc-issuer-url": "https://jo:hunter2@login.example",
            "token-auth-file": "/etc/kubernetes/tokens.csv",
            "webhook-token": "hunter2",
        }
    },
    "etcd": {"local": {"extraArgs": {"experimental-auth-header": "Bearer hunter2hunter2"}}},
}


def test_a_password_of_a_flag_or_a_url_is_written_and_shown_nowhere(run, capsys):
    nodes = {
        "master1": adopted.on_node("master1", "10.1.1.101", "proxy https http://jo:hunter2@192.0.2.9:3128", "proxy no .example")
    }
    file = run(adopted.seen(adopted.CONFIGURATION | SECRETS, nodes=nodes))
    said, text = capsys.readouterr(), file.read_text()
    assert [name for name, each in {"file": text, "output": said.out, "errors": said.err}.items() if "hunter2" in each] == []
    values = yaml.safe_load(text)
    assert values["kubernetes"]["extra_args"]["api_server"] == {"v": "2", "token-auth-file": "/etc/kubernetes/tokens.csv"}
    assert ("etcd" in values["kubernetes"]["extra_args"], values["baseline"]) == (False, {})
    comments = [line.strip() for line in text.splitlines() if "left out, as others" in line]
    assert [each.partition("read this file: ")[2] for each in comments] == [
        "etcd.experimental-auth-header has a password or token in it",
        "oidc-issuer-url has a login in it, webhook-token has a password or token in it",
        "proxy.https has a login in it",
    ]
    assert "kubernetes.extra_args.api_server.webhook-token has a password or token in it: it is not in the file" in said.out
    assert "only inv cluster.reconfigure --drop takes it out" in said.out


def test_programs_get_one_object_and_people_the_rest(run, capsys):
    file = run(adopted.seen(adopted.CONFIGURATION | SECRETS), as_json=True)
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert (found["ok"], found["written"], found["file"], found["changes"]) == (True, True, str(file), [])
    assert found["found"]["endpoint"]["vip"] == "10.1.1.100"
    assert found["found"]["kubernetes"]["extra_args"]["api_server"] == {"v": "2", "token-auth-file": "/etc/kubernetes/tokens.csv"}
    assert {each["key"] for each in found["guessed"]} >= {"backup.directory", "kubernetes.extra_args.api_server"}
    assert {"key": "kubernetes.extra_args.api_server.webhook-token", "why": "a password or token in it"} in found["withheld"]
    assert "a failed check never moves the VIP" in " ".join(each["seen"] for each in found["differs"])
    assert found["doctor"] == {"ok": True, "findings": []}
    assert "hunter2" not in said.out
    assert "the doctor looks" in said.err


def test_programs_get_what_a_file_says_otherwise_and_the_error(run, capsys):
    file = run(adopted.seen())
    file.write_text(file.read_text().replace("id: 51", "id: 52"))
    capsys.readouterr()
    with pytest.raises(OutcomeError), error_event(shown=True):
        run(adopted.seen(), as_json=True)
    found, error = map(json.loads, capsys.readouterr().out.splitlines())
    assert (found["ok"], found["written"], found["doctor"]) == (False, False, None)
    assert found["changes"] == [{"key": "load_balancer.vrrp.id", "file": "52", "found": "51"}]
    assert (error["event"], error["exit"]) == ("error", 1)
