"""What cannot be undone is confirmed with the cluster's name."""

from __future__ import annotations

import io
import sys

import pytest

from runbooks.cluster.remove import confirm_destruction
from runbooks.errors import PrecheckError
from runbooks.recover.quorum.procedure import confirm_restore
from tests.support.fakes import master, site

pytestmark = pytest.mark.unit


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_name_on_the_command_line_is_enough(capsys):
    confirm_restore(site(), "ha-cluster")
    assert capsys.readouterr().out == ""


def test_the_name_is_asked_for_at_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", Terminal(" ha-cluster\n"))
    confirm_destruction(site(), [master(1), master(2)], "")
    assert capsys.readouterr().out == (
        "This destroys all that Kubernetes keeps on master1, master2: etcd's data, certificates, containers.\n"
        "There is no undo but a backup. Type the cluster's name (ha-cluster) to continue: "
    )


@pytest.mark.parametrize(
    ("given", "stdin", "said"),
    [
        ("ha", Terminal("ha-cluster\n"), "'ha' is not the cluster's name"),
        ("", Terminal("yes\n"), "'yes' is not the cluster's name"),
        ("", Terminal(""), "it was not confirmed"),
        ("", io.StringIO("ha-cluster\n"), "it was not confirmed"),  # nobody types there
    ],
)
def test_anything_else_is_no(monkeypatch, given, stdin, said):
    monkeypatch.setattr(sys, "stdin", stdin)
    with pytest.raises(PrecheckError) as caught:
        confirm_restore(site(), given)
    assert (str(caught.value), caught.value.hint) == (f"ha-cluster is not restored: {said}", "--yes-restore ha-cluster")
