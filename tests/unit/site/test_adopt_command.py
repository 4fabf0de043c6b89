"""What the command does besides looking: the VRRP password is kept where lb.setup expects it, load balancers are asked for."""

from __future__ import annotations

import io
import stat
from ipaddress import ip_address

import pytest

from runbooks.errors import PrecheckError
from runbooks.lb.auth_pass import auth_pass
from runbooks.site.adopt.command import ask, keep_password
from tests.unit.site.test_adopt_ground import SMALLEST


@pytest.mark.parametrize("theirs", ["mypasswo", "mypassword"])
def test_it_is_where_lb_setup_expects_it(tmp_path, capsys, theirs):
    file = tmp_path / "hosts.yaml"
    file.write_text(SMALLEST)
    keep_password(file, theirs)
    state = tmp_path / ".runbooks" / "site"
    assert auth_pass(state, {}) == "mypasswo"
    assert stat.S_IMODE((state / "vrrp-auth-pass").stat().st_mode) == 0o600
    assert "mypasswo" not in capsys.readouterr().out


def test_one_that_lb_setup_could_not_use_is_said_and_not_kept(tmp_path, capsys):
    file = tmp_path / "hosts.yaml"
    file.write_text(SMALLEST)
    keep_password(file, "42")
    assert "--new-password" in capsys.readouterr().out
    assert not (tmp_path / ".runbooks" / "site" / "vrrp-auth-pass").exists()


def test_without_a_terminal_load_balancers_that_were_not_found_end_it(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    with pytest.raises(PrecheckError, match=r"lb1 \(10\.1\.1\.11\): all that was found(.|\n)*heard of 10\.1\.1\.12") as refused:
        ask(["lb1 (10.1.1.11): all that was found behind 10.1.1.100"], [ip_address("10.1.1.12")])
    assert "--lb" in refused.value.hint
