"""scripts/host/api-get.sh, run for real: who the API server is asked as, and that the administrator's key is nowhere to be seen."""

from base64 import b64encode
from pathlib import Path

import pytest

from runbooks.backup.rules.unlisted import refusal
from runbooks.commands.backup import Kind, kinds, lists
from runbooks.commands.base import Answer, Command
from tests.support.fakes import bash, master

pytestmark = pytest.mark.unit

CERTIFICATE, KEY = "-----BEGIN CERTIFICATE-----\nadmin\n", "-----BEGIN RSA PRIVATE KEY-----\nhunter2\n"
CURL = r"""#!/bin/bash
if [ "$*" = --version ]; then cat "$TOP/version" 2>/dev/null || echo 'curl 7.88.1 (x86_64-pc-linux-gnu)'; exit; fi
ended=''
while [ "$#" -gt 0 ]; do
    case $1 in --cert) cat "$2" && stat -c %A "${2%/*}" ;; *exitcode*) ended=0 ;; *http_code*) ended=- ;; esac
    shift
done >"$TOP/asked.as"
sed -n 's/^output = "\(.*\)"$/\1/p' | while read -r file; do
    code=$(cat "$TOP/code" 2>/dev/null || echo 200)
    case $code in
    000) echo 'curl: (7) Failed to connect: Connection refused' >&2 && echo 'More details here: https://curl.se' >&2 ;;
    cut*)
        echo 'curl: (18) transfer closed with outstanding read data remaining' >&2
        printf '{"kind":"PodList","apiVersion":"v1","metadata":{},"items":[{"a":{"b"' >"$file"
        [ "$code" = cut ] || echo 200 >"$TOP/code"
        code=200 ended=${ended/0/18}
        ;;
    200) echo '{"gitVersion": "v1.36.2"}' >"$file" ;;
    *) printf '{"message": "pods is forbidden: User \\"kubernetes-admin\\" cannot list",\n "code": %s}\n' "$code" >"$file" ;;
    esac
    echo "$code $ended $file"
    ended=${ended/18/0}
done
"""
KUBECTL = r"""#!/bin/bash
case "$*" in
*"config view"*) cat "$TOP/user" ;;
*) [ ! -e "$TOP/code" ] || { echo 'Error from server (Forbidden): User "kubernetes-admin" cannot list' >&2 && exit 1; }
    echo '{"gitVersion": "v1.36.2"}' ;;
esac
"""


class Control:
    """A control plane host whose kubectl and curl note how they were started."""

    def __init__(self, top: Path) -> None:
        self.top = top
        (top / "bin").mkdir()
        for name, program in (("curl", CURL), ("kubectl", KUBECTL)):
            there = top / "bin" / name
            there.write_text(program.replace("#!/bin/bash\n", f'#!/bin/bash\nTOP={top}\necho "{name} $*" >>"$TOP/lines"\n'))
            there.chmod(0o755)
        (top / "admin.conf").touch()
        self.user(CERTIFICATE, KEY)

    def user(self, *words: str) -> None:
        """Let kubectl find this certificate and key in admin.conf."""
        (self.top / "user").write_text("".join(b64encode(word.encode()).decode() + "\n" for word in words or ("", "")))

    def __call__(self, command: Command) -> Answer:
        program = command.program.replace("/etc/kubernetes", str(self.top))
        return bash(f"PATH={self.top / 'bin'}:$PATH TMPDIR={self.top}\nexport TMPDIR\n{program}")

    def lines(self, name: str) -> list[str]:
        return [line for line in (self.top / "lines").read_text().splitlines() if line.startswith(f"{name} ")]


@pytest.fixture
def control(tmp_path):
    return Control(tmp_path)


def test_it_asks_as_the_administrator(control):
    assert control(kinds(master(1)).command).exited == 0
    assert (control.top / "asked.as").read_text() == f"{CERTIFICATE}\n{KEY}drwx------\n"


def test_the_key_is_on_no_command_line_and_not_left_behind(control):
    control(kinds(master(1)).command)
    lines = "\n".join(control.lines("curl") + control.lines("kubectl"))
    assert "config view --raw" in lines
    assert "hunter2" not in lines
    assert b64encode(KEY.encode()).decode().strip("=") not in lines
    assert sorted(path.name for path in control.top.iterdir()) == ["admin.conf", "asked.as", "bin", "lines", "user"]


def test_admin_conf_is_read_once_for_all_lists(control):
    control(kinds(master(1)).command)
    assert len([line for line in control.lines("curl") if "--version" not in line]) == 2
    assert len(control.lines("kubectl")) == 1


def test_an_administrator_without_a_certificate_asks_through_kubectl(control):
    control.user()
    assert control(kinds(master(1)).command).stdout.splitlines()[0] == '{"gitVersion": "v1.36.2"}'
    assert control.lines("curl") == []
    (version,) = [line for line in control.lines("kubectl") if line.endswith("/version")]
    assert f"--kubeconfig={control.top}/admin.conf" in version


def test_without_admin_conf_it_says_so(control):
    (control.top / "admin.conf").unlink()
    answer = control(kinds(master(1)).command)
    assert answer.exited == 1
    assert answer.stderr == f"{control.top}/admin.conf is missing; without it nothing can be read from the API server\n"


def test_the_lists_that_are_not_there_name_the_missing_file(control):
    (control.top / "admin.conf").unlink()
    answer = control(lists(master(1), str(control.top / "base"), [], 0))
    assert f"@! kubeadm-config {control.top}/admin.conf is missing; without it" in answer.stdout


PODS = [Kind("pods", "/api/v1/pods", "pods")]


@pytest.mark.parametrize("code", ["401", "403", "503"])
def test_a_list_that_is_refused_has_the_servers_own_words(control, code):
    (control.top / "code").write_text(code)
    answer = control(lists(master(1), str(control.top / "base"), PODS, 0))
    (line,) = [line for line in answer.stdout.splitlines() if line.startswith("@! resources/pods ")]
    seen = refusal(line.removeprefix("@! resources/pods "))
    assert (seen.status, seen.user) == (int(code), "kubernetes-admin")
    assert "@@ resources/" not in answer.stdout


def test_a_server_that_does_not_answer_has_curls_words(control):
    (control.top / "code").write_text("000")
    answer = control(lists(master(1), str(control.top / "base"), PODS, 0))
    assert "@! resources/pods curl: (7) Failed to connect: Connection refused\n" in answer.stdout


@pytest.mark.parametrize("version", ["7.74.0", "7.75.0", "8.5.0-DEV"])
def test_a_transfer_that_broke_off_is_asked_again(control, version):
    """curl reports the status 200 and keeps what has arrived."""
    (control.top / "version").write_text(f"curl {version} (x86_64-pc-linux-gnu)\n")
    (control.top / "code").write_text("cut once")
    answer = control(lists(master(1), str(control.top / "base"), PODS, 0))
    assert "@! " not in answer.stdout
    assert "@@ resources/pods " in answer.stdout
    (control.top / "code").write_text("cut")
    answer = control(lists(master(1), str(control.top / "base"), PODS, 0))
    assert "@! resources/pods curl: (18) transfer closed" in answer.stdout
    assert "@@ " not in answer.stdout


def test_kubectls_refusals_are_kept_too(control):
    control.user()
    (control.top / "code").write_text("403")
    answer = control(lists(master(1), str(control.top / "base"), PODS, 0))
    assert '@! resources/pods Error from server (Forbidden): User "kubernetes-admin" cannot list' in answer.stdout


def test_a_discovery_that_is_refused_says_why(control):
    (control.top / "code").write_text("401")
    answer = control(kinds(master(1)).command)
    assert answer.exited == 1
    assert refusal(answer.stderr).status == 401
