"""api-ask.sh against a real server over TLS: what curl is asked, and what kubectl, which is a script here that says that it was."""

import subprocess
from base64 import b64encode

import pytest

from runbooks.commands.base import HOST_SCRIPTS
from runbooks.doctor.rules.overload import LATE
from runbooks.rules.admission import MESSAGES
from tests.support.api_server import serving

pytestmark = pytest.mark.unit

KUBECTL = '#!/bin/bash\nwhile [ "$1" ]; do case $1 in get | create | delete) action=$1 ;; --raw) path=$2 ;; esac; shift; done\necho "kubectl: $action $path"\nexit 1\n'
CURL = '#!/bin/bash\nprintf "%s\\n" "$@" >>"${0%/*}/curl.log"\nexec /usr/bin/curl "$@"\n'
OBJECT = "/api/v1/namespaces/one/configmaps/one"
MANIFEST = '{"kind":"ConfigMap","metadata":{"name":"one"}}'


def admin_conf(pki, user: str = "") -> str:
    certificate, key = (b64encode((pki / f"client.{end}").read_bytes()).decode() for end in ("crt", "key"))
    ca = b64encode((pki / "ca.crt").read_bytes()).decode()
    own = f"    client-certificate-data: {certificate}\n    client-key-data: {key}\n"
    clusters = (
        f"clusters:\n- cluster:\n    certificate-authority-data: {ca}\n    server: https://10.1.1.100:6443\n  name: kubernetes\n"
    )
    return f"apiVersion: v1\nkind: Config\n{clusters}users:\n- name: kubernetes-admin\n  user:\n{user or own}"


@pytest.fixture
def api(pki):
    with serving(pki) as server:
        server.store.spaces.add("one")
        server.store.put(OBJECT, {"kind": "ConfigMap", "metadata": {"name": "one"}})
        yield server


@pytest.fixture
def ask(pki, api, tmp_path):
    """Ask with `api`; return the exit status and what was printed."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in {"kubectl": KUBECTL, "curl": CURL}.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    (tmp_path / "admin.conf").write_text(admin_conf(pki))
    text = (HOST_SCRIPTS / "api-ask.sh").read_text()
    text = text.replace("/etc/kubernetes/admin.conf", str(tmp_path / "admin.conf"))

    def ask(
        method: str, path: str, body: str = "", *, seconds: int = 5, port: int = 0, at: str = "127.0.0.1", name: str = ""
    ) -> tuple[int, str]:
        server = f"https://{at}:{port or api.port}" + (f"#{name}" if name else "")
        words = [method, server, str(seconds), path, *([body] if body else [])]
        environment = {
            "PATH": f"{programs}:/usr/bin:/bin",
            "https_proxy": "http://127.0.0.1:1",
            "LC_ALL": "C",
            "HOME": str(tmp_path),
        }
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", f'{text}\napi "$@"', "-", *words],
            env=environment, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        return done.returncode, done.stdout.strip()

    ask.tmp = tmp_path
    return ask


def test_what_is_there_is_read_written_and_deleted_without_kubectl(ask, api):
    status, said = ask("get", OBJECT)
    assert (status, '"name": "one"' in said) == (0, True)
    assert ask("delete", OBJECT)[0] == 0
    assert ask("create", OBJECT.rpartition("/")[0], MANIFEST)[0] == 0
    assert [each.partition(" ")[0] for each in api.asked] == ["GET", "DELETE", "POST"]
    assert api.store.objects[OBJECT]["kind"] == "ConfigMap"


NOT_TRUSTED = """#!/bin/bash
for each; do case $each in --tls-server-name=*) echo "kubectl asks $each" && exit ;; esac; done
echo "Unable to connect to the server: x509: certificate is valid for 127.0.0.1, not localhost" && exit 1
"""


def test_the_other_name_is_taken_where_the_certificate_has_no_address(ask, api):
    """ "localhost" is not in its certificate."""
    (ask.tmp / "bin/kubectl").write_text(NOT_TRUSTED)
    assert ask("get", OBJECT, at="localhost")[0] == 1
    assert ask("get", OBJECT, at="localhost", name="127.0.0.1")[0] == 0
    assert ask("create", OBJECT.rpartition("/")[0], MANIFEST.replace('"one"', '"two"'), at="localhost", name="127.0.0.1")[0] == 0
    assert [each.partition(" ")[0] for each in api.asked] == ["GET", "POST"]


def test_the_address_is_asked_for_first(ask, api):
    """A name that was written into hosts.yaml later is in no certificate yet."""
    assert ask("get", OBJECT, name="not.in.the.certificate")[0] == 0
    assert "--connect-to" not in (ask.tmp / "bin/curl.log").read_text()


def test_kubectl_gets_the_other_name_too(ask):
    (ask.tmp / "bin/kubectl").write_text(NOT_TRUSTED)
    (ask.tmp / "admin.conf").write_text("users:\n- user:\n    token: x\n")  # not by curl
    assert ask("get", OBJECT, at="localhost", name="api.example") == (0, "kubectl asks --tls-server-name=api.example")


def test_nobodys_curlrc_is_read(ask):
    (ask.tmp / ".curlrc").write_text("include\nfail\n")
    status, said = ask("get", OBJECT)
    assert (status, said[:1]) == (0, "{")


def test_the_ca_is_that_of_admin_conf(ask, pki, api):
    """As kubectl's: one that is out of date is not covered up."""
    text = (ask.tmp / "admin.conf").read_text()
    ca, client = (b64encode((pki / name).read_bytes()).decode() for name in ("ca.crt", "client.crt"))
    (ask.tmp / "admin.conf").write_text(text.replace(ca, client))
    assert ask("get", OBJECT) == (1, f"kubectl: get {OBJECT}")
    assert api.asked == []


@pytest.mark.parametrize("code", [77, 126, 127])
def test_a_write_that_curl_could_not_begin_is_sent_by_kubectl(ask, code):
    (ask.tmp / "bin" / "curl").write_text(f"#!/bin/bash\nexit {code}\n")
    assert ask("create", OBJECT.rpartition("/")[0], MANIFEST) == (1, f"kubectl: create {OBJECT.rpartition('/')[0]}")


def test_a_server_that_is_silent_is_late_and_does_not_refuse():
    said = "timeout: no answer within 32 s"
    assert LATE.search(said)
    assert next(kind for kind, pattern in MESSAGES if pattern.search(said)) == "slow"


def test_the_key_is_on_no_command_line(ask, pki):
    ask("get", OBJECT)
    given = (ask.tmp / "bin" / "curl.log").read_text()
    assert "--key" in given
    for text in (pki / "client.key").read_text().split():
        assert text not in given
    assert b64encode((pki / "client.key").read_bytes()).decode() not in given


def test_an_error_of_a_read_is_put_by_kubectl(ask, api):
    assert ask("get", "/api/v1/nodes") == (1, "kubectl: get /api/v1/nodes")
    api.status = 403
    assert ask("get", OBJECT) == (1, f"kubectl: get {OBJECT}")


def test_a_write_that_was_refused_for_sure_is_sent_again_and_another_one_is_not(ask, api):
    api.status = 403
    assert ask("create", OBJECT.rpartition("/")[0], MANIFEST) == (1, f"kubectl: create {OBJECT.rpartition('/')[0]}")
    api.status, api.asked[:] = 500, []
    status, said = ask("create", OBJECT.rpartition("/")[0], MANIFEST)
    assert (status, "kubectl" in said, len(api.asked)) == (1, False, 1)
    api.status, api.cut, api.asked[:] = 0, True, []
    status, said = ask("delete", OBJECT)
    assert (status, "kubectl" in said, len(api.asked)) == (1, False, 1)
    assert said.startswith("curl: (")


def test_a_server_that_is_silent_is_not_asked_again(ask, api):
    api.hang = True
    try:
        assert ask("get", OBJECT, seconds=1) == (1, "timeout: no answer within 1 s")
    finally:
        api.hang = False
    assert len(api.asked) == 1


def test_why_a_server_is_not_there_is_left_to_kubectl(ask):
    assert ask("get", OBJECT, port=1) == (1, f"kubectl: get {OBJECT}")


@pytest.mark.parametrize(
    "user",
    [
        "    token: abc\n",
        "    exec:\n      command: login\n",
        "    client-certificate-data: YQ==\n    client-key-data: YQ==\n- name: other\n  user:\n    client-certificate-data: YQ==\n    client-key-data: YQ==\n",
        "@OWN@- name: other\n  user:\n    token: abc\n",
        "    client-certificate: /a/file.crt\n    client-key: /a/file.key\n",
        "    client-certificate-data: YQ==\n    client-key-data: YQ==\n",  # no certificate
    ],
)
def test_an_admin_conf_that_holds_no_certificate_of_one_user_is_left_to_kubectl(ask, pki, user, api):
    own = admin_conf(pki).partition("  user:\n")[2]
    (ask.tmp / "admin.conf").write_text(admin_conf(pki, user.replace("@OWN@", own)))
    assert ask("get", OBJECT) == (1, f"kubectl: get {OBJECT}")
    assert api.asked == []


def test_without_curl_kubectl_is_asked(ask, api):
    (ask.tmp / "bin" / "curl").write_text("#!/bin/bash\nexit 127\n")
    (ask.tmp / "bin" / "curl").chmod(0o755)
    assert ask("get", OBJECT) == (1, f"kubectl: get {OBJECT}")
    assert api.asked == []


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            '{"kind":"Status","message":"failed calling webhook \\"a.b\\": x","reason":"InternalError","code":500}',
            'Error from server (InternalError): failed calling webhook "a.b": x',
        ),
        ("[+]ping ok", "[+]ping ok"),
        ('{"message":"no","code":500}', "Error from server: no"),
    ],
)
def test_a_status_is_put_as_kubectl_does(answer, said):
    text = (HOST_SCRIPTS / "api-ask.sh").read_text()
    done = subprocess.run(["bash", "-c", f'{text}\nrefused "$1"', "-", answer], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == said


# ---- several at once


@pytest.fixture
def several(ask, api):
    """Ask with `several`; return what was got, by number."""
    text = (HOST_SCRIPTS / "api-ask.sh").read_text().replace("/etc/kubernetes/admin.conf", str(ask.tmp / "admin.conf"))

    def several(*what: str, server: str = "", seconds: int = 5) -> dict[int, str]:
        show = 'several "$@"; for each in "${!got[@]}"; do printf "%s %s\\0" "$each" "${got[each]}"; done'
        words = [server or f"https://127.0.0.1:{api.port}", str(seconds), str(ask.tmp), *what]
        environment = {"PATH": f"{ask.tmp}/bin:/usr/bin:/bin", "LC_ALL": "C", "HOME": str(ask.tmp)}
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", f"{text}\n{show}", "-", *words],
            env=environment, capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
        found = (each.partition(" ") for each in done.stdout.split("\0") if each)
        return {int(number): said for number, _, said in found}

    return several


# As a server with HTTP/2, which the one of these tests has not: all answers over the one connection.
MULTIPLEXED = """#!/bin/bash
echo "$*" >>"${0%/*}/curl.log"
file=''
for each; do case $before in -o) file=$each ;; esac; before=$each
case $each in
https:*/gone) echo '{"kind":"Status"}' >"$file" && echo "404 $file" ;;
https:*/torn) printf '{"kind":"Lis' >"$file" && echo "200 $file" ;;
https:*/silent) echo "000 $file" ;;
https:*) echo "{\\"path\\":\\"${each##*/}\\"}" >"$file" && echo "201 $file" ;;
esac; done
exit 28
"""


def test_an_object_is_read_and_another_created(several, api):
    assert '"name": "one"' in several(OBJECT)[0]
    assert '"name": "two"' in several(OBJECT.rpartition("/")[0] + " " + MANIFEST.replace('"one"', '"two"'))[0]
    assert [each.partition(" ")[0] for each in api.asked] == ["GET", "POST"]


def test_all_are_asked_for_at_once_and_only_whole_answers_are_got(several, ask):
    (ask.tmp / "bin/curl").write_text(MULTIPLEXED)
    assert several("/a", "/gone", "/torn", "/silent", "/b {}") == {0: '{"path":"a"}', 4: '{"path":"b"}'}
    assert (ask.tmp / "bin/curl.log").read_text().count("\n") == 1


@pytest.mark.parametrize("fault", ["cut", "hang"])
def test_no_answer_is_got_from_a_server_that_gives_none(several, api, fault):
    setattr(api, fault, True)
    assert several(OBJECT, seconds=1) == {}
    setattr(api, fault, False)


def test_without_a_certificate_or_with_another_name_nothing_is_got(several, ask, api):
    assert several(OBJECT, server=f"https://127.0.0.1:{api.port}#api.example") == {}
    (ask.tmp / "admin.conf").write_text("users:\n- user:\n    token: x\n")
    assert several(OBJECT) == {}
    assert api.asked == []


def test_no_answer_of_another_run_is_taken(several, ask, api):
    """One that lies there already, when the server cannot be asked."""
    (ask.tmp / "got.0").write_text('{"old":1}')
    assert several(OBJECT, server="https://127.0.0.1:1") == {}
