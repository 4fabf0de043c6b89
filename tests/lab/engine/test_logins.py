"""Logins as real sites have them: other shells, start-up files that print, environments that sudo passes on, a strict or slow sshd."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.control import Lab
from tests.support import ROOT
from tests.support.operator import Operator
from tests.support.waiting import eventually

pytestmark = pytest.mark.lab

LBS = ("lb1", "lb2")
NOISE = """printf 'Welcome to the company.\\n{"json": true}\\nno line break'
printf 'not for robots' >&2
"""


@pytest.fixture(scope="module")
def whole(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Operator:
    """An operator whose load balancers are set up: a second `lb.setup` finds nothing to do."""
    operator = Operator(lab, tmp_path_factory.mktemp("logins"))
    operator.good("lb.setup")
    return operator


@contextmanager
def planted(lab: Lab, files: dict[str, str], *hosts: str) -> Iterator[None]:
    """Files on ``hosts``, for a while; each with what was there before after that."""
    keep = 'for f; do mkdir -p "${f%/*}"; [ ! -e "$f" ] || cp -p "$f" "$f.before"; done'
    back = 'for f; do rm -f "$f"; [ ! -e "$f.before" ] || mv "$f.before" "$f"; done'
    for host in hosts:
        lab.console(host, ["sh", "-c", keep, "keep", *files], check=True)
        for path, text in files.items():
            lab.console(host, ["tee", path], stdin=text, check=True)
    try:
        yield
    finally:
        for host in hosts:
            lab.console(host, ["sh", "-c", back, "back", *files], check=True)


@contextmanager
def login_shell(lab: Lab, host: str, shell: str) -> Iterator[None]:
    """The login shell of ops is ``shell``, which comes from this machine when the host has none."""
    root = Path(f"/proc/{lab.leader(host)}/root")
    for path in (shell, *(["/usr/lib/x86_64-linux-gnu/libpcre2-32.so.0"] if shell.endswith("fish") else [])):
        if not (root / path.lstrip("/")).exists():
            shutil.copy(path, root / path.lstrip("/"))
    lab.console(host, ["usermod", "--shell", shell, "ops"], check=True)
    try:
        yield
    finally:
        lab.console(host, ["usermod", "--shell", "/bin/bash", "ops"], check=True)


def test_any_login_shell_will_do_and_what_its_start_up_files_print_is_not_ours(whole: Operator) -> None:
    """tcsh and fish take other words for quotes, ! and line breaks than sh does."""
    whole.edit(lambda site: site["load_balancer"].update(limits={"maxconn": 6013}))
    noisy = dict.fromkeys(["/home/ops/.cshrc", "/home/ops/.config/fish/config.fish"], NOISE.replace(" >&2", ""))
    with (
        planted(whole.lab, noisy, *LBS),
        login_shell(whole.lab, "lb1", "/usr/bin/tcsh"),
        login_shell(whole.lab, "lb2", "/usr/bin/fish"),
    ):
        said = whole.lab.exec("lb1", ["true"], root=False, check=False).stdout
        assert "Welcome" in said  # the shell does read it
        whole.good("lb.setup")
        whole.idle("lb.setup")
    for host in LBS:
        assert "maxconn 6013" in whole.lab.console(host, ["cat", "/etc/haproxy/haproxy.cfg"]).stdout


def test_neither_start_up_files_nor_variables_that_sudo_passes_on_change_anything(whole: Operator) -> None:
    noisy = {
        "/home/ops/.bashrc": NOISE,
        "/root/.bashrc": NOISE,
        "/etc/environment": "".join(
            f'{name}="http://10.1.1.250:3128"\n'
            for name in ("http_proxy", "https_proxy", "ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy")
        )
        + "BASH_ENV=/home/ops/.bashrc\n",
        "/etc/sudoers.d/zz-proxies": 'Defaults env_keep += "http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY BASH_ENV"\n',
    }
    with planted(whole.lab, noisy, *LBS):
        given = whole.lab.exec("lb1", ["env"], check=True).stdout
        assert "Welcome" in given
        assert "http_proxy=http://10.1.1.250:3128" in given
        whole.idle("lb.setup")
        whole.well("lb.status")


def test_a_login_that_starts_no_program_is_named_for_what_it_is(whole: Operator) -> None:
    with login_shell(whole.lab, "lb1", "/usr/sbin/nologin"):
        done = whole.inv("lb.setup")
    assert done.returncode == 4
    assert "lb1 (10.1.1.11): the login shell of ops runs no commands (nologin)" in done.stderr
    assert "usermod --shell /bin/bash ops" in done.stderr
    with planted(whole.lab, {"/home/ops/.bashrc": "echo closed for maintenance; exit 3\n"}, "lb1"):
        done = whole.inv("lb.setup")
    assert done.returncode == 4
    assert "the login shell of ops ended before our program was started (exit status 3)" in done.stderr
    assert "closed for maintenance" in done.stderr


@pytest.mark.parametrize("most", [1, 4])
def test_sessions_wait_for_each_other_where_sshd_allows_few(whole: Operator, most: int) -> None:
    """As many at a time as MaxSessions says; a backup reads several parts of one host at the same time."""
    program = f"""
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from runbooks.commands.base import cmd
from runbooks.engine.namespace import enter
from runbooks.engine.ssh import Ssh
from runbooks.inventory.load import load_site
site = load_site(Path({str(whole.site)!r})).site
enter(site)
ssh, host = Ssh(site), site.hosts[0]
def one(number):
    got, command = bytearray(), cmd("sh", "-c", f"sleep 0.1; echo {{number}}")
    if number % 2:
        ssh.stream(host, command, got.extend)
        return got.decode().strip()
    return ssh.run(host, command).stdout.strip() if number % 4 else ssh.run_each({{host: command}})[host].stdout.strip()
with ThreadPoolExecutor(8) as pool:
    print(*pool.map(one, range(8)))
ssh.close()
"""
    with planted(whole.lab, {"/etc/ssh/sshd_config.d/00-few.conf": f"MaxSessions {most}\n"}, "lb1"):
        whole.lab.console("lb1", ["systemctl", "reload", "ssh"], check=True)
        eventually(lambda: f"maxsessions {most}" in whole.lab.console("lb1", ["sshd", "-T"]).stdout)
        done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    whole.lab.console("lb1", ["systemctl", "reload", "ssh"], check=True)
    assert (done.stdout, done.stderr) == ("0 1 2 3 4 5 6 7\n", "")
