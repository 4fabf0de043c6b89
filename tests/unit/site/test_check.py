"""`inv site.check`: the files that hosts.yaml names, and when a missing one matters."""

from __future__ import annotations

from pathlib import Path

import pytest

from runbooks.engine.session import Options, Session
from runbooks.inventory.problems import SiteError
from runbooks.runs import tasks as runs
from runbooks.site import tasks

pytestmark = pytest.mark.unit

SITE = (Path(__file__).parents[1] / "inventory" / "good.yaml").read_text()


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "hosts.yaml"
    monkeypatch.setenv("RUNBOOKS_SITE", str(path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    (tmp_path / "key").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\n")
    (tmp_path / "key.pub").write_text("ssh-ed25519 AAAA ops@here\n")

    def session(*changes: tuple[str, str], more: str = "") -> Session:
        text = SITE + more
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path.write_text(text)
        return Session(Options())

    return session


def keys(session: Session) -> list[str]:
    with pytest.raises(SiteError) as caught:
        tasks.check.body(session)
    return [problem.key for problem in caught.value.problems]


def test_every_missing_file_is_named_with_its_line(session) -> None:
    changes = (
        ("{user: ops}", "{user: ops, key: nokey, gateway: [{address: 10.9.9.9, key: key.pub}]}"),
        ('"1.30.0"', '"1.30.0", cni: net.yaml, audit: {policy: .}'),
        ("roles: [worker]", "roles: [worker], ssh: {key: other}"),
    )
    backup = (
        "backup: {directory: sets, metrics: nowhere/x.prom, restic: {repository: r, password_file: p, environment_file: e}}\n"
    )
    opened = session(*changes, more=backup)
    with pytest.raises(SiteError) as caught:
        tasks.check.body(opened)
    assert [(problem.line, problem.key) for problem in caught.value.problems] == [
        (4, "kubernetes.audit.policy"),
        (4, "kubernetes.cni"),
        (6, "ssh.gateway[0].key"),
        (6, "ssh.key"),
        (11, "hosts[3].ssh.key"),
        (12, "backup.metrics"),
        (12, "backup.restic.environment_file"),
        (12, "backup.restic.password_file"),
    ]
    said = str(caught.value)
    assert "key.pub is a public key: write the private one" in said
    assert "nokey does not exist" in said
    assert "is not a plain file" in said


def test_a_site_whose_files_are_there_is_in_order(session, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "net.yaml").touch()
    age = "backup: {directory: sets, age: {recipients: [age1qqqqqqqqqqqqqqqqqqqqqqqqq], identity: elsewhere}}\n"
    tasks.check.body(session(("{user: ops}", "{user: ops, key: key}"), ('"1.30.0"', '"1.30.0", cni: net.yaml'), more=age))
    assert "site is in order" in capsys.readouterr().out


def test_flags_that_kubeadm_sets_itself_are_named_with_their_lines(session) -> None:
    flags = '"1.30.0", extra_args: {etcd: {data-dir: /x, name: y}, api_server: {secure_port: "1"}}, kubelet: {kind: Pod}'
    assert keys(session(('"1.30.0"', flags))) == [
        "kubernetes.extra_args.api_server.secure_port",
        "kubernetes.extra_args.etcd.data-dir",
        "kubernetes.extra_args.etcd.name",
        "kubernetes.kubelet.kind",
    ]


def test_without_the_key_nothing_connects_but_the_rest_works(session, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = session(("{user: ops}", "{user: ops, key: nokey}"))
    runs.list_.body(opened)
    with pytest.raises(SiteError, match=r"hosts\.yaml:6: ssh\.key: \S+nokey does not exist"):
        _ = opened.run
    monkeypatch.setenv("SSH_AUTH_SOCK", "/run/agent")  # which may have it
    assert opened.run


def test_a_key_of_one_host_keeps_no_other_from_being_asked(session) -> None:
    assert session(("roles: [worker]", "roles: [worker], ssh: {key: nokey}")).run
