"""YAML of others: kubeconfigs as kubeadm and people write them, and any other text."""

from contextlib import suppress
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.cluster.kubeconfig import unknown
from runbooks.commands import kubeconfig, yaml_text
from runbooks.commands.base import Answer
from runbooks.commands.kubeconfig import Kubeconfig, parse, through

pytestmark = pytest.mark.unit

ADMIN = """apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: LS0tQQ==
    server: https://10.1.1.101:6443
  name: ha-cluster
contexts:
- context:
    cluster: ha-cluster
    user: kubernetes-admin
  name: kubernetes-admin@ha-cluster
current-context: kubernetes-admin@ha-cluster
kind: Config
preferences: {}
users:
- name: kubernetes-admin
  user:
    client-certificate-data: LS0tQg==
    client-key-data: LS0tQw==
"""


def test_what_kubeadm_writes():
    assert parse(ADMIN) == Kubeconfig(("https://10.1.1.101:6443",), ("LS0tQQ==",), ("LS0tQg==",))


def test_the_login_of_the_first_user():
    login = kubeconfig.login(ADMIN)
    assert (login.certificate, login.key, login.token) == ("LS0tQg==", "LS0tQw==", "")
    assert "LS0tQw==" not in repr(login)
    assert kubeconfig.login("users: [{user: {token: x}}, {user: {token: y}}]").token == "x"
    assert kubeconfig.login("users: {}").key == kubeconfig.login("").key == ""


@pytest.mark.parametrize(
    "text",
    [
        ADMIN.replace(": LS0tQg==", ': "LS0tQg=="'),
        ADMIN.replace(": LS0tQg==", ": 'LS0tQg=='  # mine"),
        ADMIN.replace(": LS0tQg==", ": >-\n      LS0tQg=="),
        ADMIN.replace("\n", "\r\n"),
        f"# kept by hand\n---\n{ADMIN}",
        ADMIN.replace("- cluster:\n    cert", "  - cluster:\n      cert").replace("\n    server", "\n      server").replace(
            "\n  name: ha", "\n    name: ha"),
        """{"clusters": [{"cluster": {"server": "https://10.1.1.101:6443", "certificate-authority-data": "LS0tQQ=="}}],
            "users": [{"user": {"client-certificate-data": "LS0tQg=="}}]}""",
    ],
    ids=["double quotes", "single quotes", "folded", "CRLF", "comment", "indented list", "JSON"],
)  # fmt: skip
def test_however_it_is_written(text):
    assert parse(text) == parse(ADMIN)


@pytest.mark.parametrize(
    "text", ["", "kind: Config", "clusters:\nusers: ~", "clusters: [x, {cluster: y}, {}]", "users: [{user: {token: x}}]"]
)
def test_what_is_missing_is_empty(text):
    assert parse(text) == Kubeconfig()


@pytest.mark.parametrize(
    "text", ["something else", "- a", "a: [", "a: b: c", "a\n---\nb", "\x00", "\ud800", "&a [*a]", "[" * 100_000, "- " * 100_000]
)
def test_what_is_no_mapping_is_an_error(text):
    with pytest.raises(ValueError, match=r"."):
        parse(text)


def test_a_deep_document_is_read():
    depth = yaml_text.MOST_DEPTH
    assert yaml_text.documents("[" * depth + "]" * depth)


@pytest.mark.parametrize("where", ["k8s-api.company.local:6443", "[fd00::100]:6443"])
def test_a_kubeconfig_is_pointed_at_the_vip(where):
    moved = through(ADMIN, where)
    assert moved == ADMIN.replace("10.1.1.101:6443", where)
    assert parse(moved).servers == (f"https://{where}",)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ADMIN * 2,
        ADMIN.replace("server", "proxy-url"),
        ADMIN.replace("contexts:", "- cluster: {server: https://x}\ncontexts:"),
    ],
)
def test_which_server_it_is_has_to_be_clear(text):
    with pytest.raises(ValueError, match="not a kubeconfig with one cluster"):
        through(text, "x:1")


def test_the_administrators_is_read_with_its_server_replaced():
    assert kubeconfig.admin_conf("x:1").parse(Answer(0, ADMIN)) == through(ADMIN, "x:1")


@given(st.text())
def test_any_text_is_read_or_refused(text):
    for read in (yaml_text.documents, yaml_text.mapping, parse, lambda given: through(given, "x:1")):
        with suppress(ValueError):
            read(text)


@given(st.text(alphabet="clusterv:- \n[]{}\"'&*!|>#%@,?~"))
def test_any_punctuation_is_read_or_refused(text):
    for read in (yaml_text.documents, parse, lambda given: through(given, "x:1")):
        with suppress(ValueError):
            read(text)


@pytest.mark.parametrize(
    "entry",
    [
        "- cluster:\n    server: https://a:1\n  name: k",
        "- name: k\n  cluster:\n    certificate-authority-data: eA==\n    server: https://a:1",
    ],
)
def test_by_an_address_the_name_is_still_checked(entry):
    text = f"apiVersion: v1\nclusters:\n{entry}\nusers: []\n"
    found = kubeconfig.parse(kubeconfig.by_address(text, "[fd00::9]:6443", "api.site.example"))
    assert (found.servers, found.server_names) == (("https://[fd00::9]:6443",), ("api.site.example",))


def test_a_kubeconfig_in_one_line_is_refused():
    with pytest.raises(ValueError, match="on a line of its own"):
        kubeconfig.by_address('{"clusters": [{"cluster": {"server": "https://a:1"}}]}', "b:1", "c")


@pytest.mark.parametrize(
    ("known", "said"),
    [
        (["10.1.1.100", "fd00::1"], ""),
        (["10.1.1.7"], "api.site.example is 10.1.1.7 on this machine, not 10.1.1.100"),
        ([], "this machine knows no address of api.site.example"),
    ],
)
def test_a_name_that_this_machine_does_not_know_is_said(known, said):
    assert unknown("api.site.example", ip_address("10.1.1.100"), [ip_address(each) for each in known]) == said
