"""The drain before a host is removed: nothing is lost that the operator has not named, and what stops it is told."""

from dataclasses import replace

import pytest

from runbooks.cluster.drain import WITHIN_S, Named, refuse
from runbooks.cluster.remove import remove_procedure
from runbooks.commands.drain import Drained, parse_drain
from runbooks.errors import OutcomeError
from runbooks.pages.page import markdown
from tests.support.fakes import master, site
from tests.support.recorded import recorded_answer

pytestmark = pytest.mark.unit

M2 = master(2)
BOTH = "inv cluster.remove --host master2 --delete-emptydir-data --force"


def refusal(said: Drained, **named: bool) -> OutcomeError:
    with pytest.raises(OutcomeError) as caught:
        refuse(M2, said, Named(**named))
    return caught.value


@pytest.mark.parametrize("version", ["1.20.2", "1.36.3"])
def test_what_kubectl_refuses_is_named_with_the_flags(version):
    said = parse_drain(recorded_answer(f"kubernetes/{version}-drain-refused"))
    error = refusal(said)
    assert str(error).startswith("master2 is cordoned, but not drained:\n  kubectl refuses ")
    assert {"shop/cache-0", "shop/lonely"} <= set(str(error).replace(",", " ").split())
    assert error.hint == f"when they and their data may be lost: {BOTH}; to keep the host: kubectl uncordon master2"


def test_flags_that_were_given_are_in_the_next_command_too():
    local = Drained(done=False, refused={"Pods with local storage": ("shop/cache-0",)})
    assert BOTH.replace("--delete-emptydir-data --force", "--force --delete-emptydir-data") in refusal(local, force=True).hint


@pytest.mark.parametrize("version", ["1.20.2", "1.31.14", "1.36.3"])
def test_a_budget_that_blocks_needs_no_flag(version):
    error = refusal(parse_drain(recorded_answer(f"kubernetes/{version}-drain-blocked")))
    assert "disruption budget" in str(error)
    assert error.hint == "kubectl get poddisruptionbudgets -A; to keep the host: kubectl uncordon master2"


def test_what_is_gone_or_is_not_understood():
    refuse(M2, Drained(done=True), Named())
    assert "Unable to connect" in str(refusal(Drained(done=False, error="Unable to connect to the server")))
    left = replace(Drained(done=False), terminating=("shop/slow",))
    assert "shop/slow was evicted, but is still there" in str(refusal(left))


@pytest.mark.parametrize(
    ("named", "flags"),
    [(None, ""), (Named(force=True), "--force "), (Named(True, True), "--delete-emptydir-data --force ")],
)
def test_the_page_says_what_the_command_does(named, flags):
    (step,) = [step for step in remove_procedure(site(), M2, named) if step.name == "drain"]
    assert f"kubectl drain master2 --ignore-daemonsets {flags}--timeout={WITHIN_S}s\n" in markdown(step.by_hand)
