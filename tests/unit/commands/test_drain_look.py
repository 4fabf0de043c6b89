"""The objects that decide how drains go, as kubectl's templates print them; whole answers are in tests/recorded/kubernetes/*-drain-look.json."""

from __future__ import annotations

import json
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.commands import drain_look
from runbooks.commands.base import Answer
from runbooks.commands.drain_objects import Toleration
from runbooks.commands.drain_pods import POD, pod
from runbooks.commands.jsonpath import Line
from runbooks.commands.node_settings import Taint
from runbooks.commands.quantity import thousandths
from runbooks.commands.selectors import Requirement, label_selector, matches, node_selector
from tests.support.fakes import master
from tests.support.recorded import recorded_answer

pytestmark = pytest.mark.unit


def of(**fields: str):
    given = {"namespace": "shop", "name": "a", "phase": "Running"} | fields
    return pod(Line(POD, "\t".join(given.get(key, "") for key in POD)))


# ---- requests


@pytest.mark.parametrize(
    ("fields", "cpu"),
    [
        ({"requests": '{"cpu":"100m"} {} {"cpu":"1"}'}, 1100),
        (
            {"requests": '{"cpu":"100m"}', "inits": '\x1e\x1f{"cpu":"500m"}\x1f'},
            500,
        ),  # an init container needs more than the rest
        ({"requests": '{"cpu":"100m"}', "inits": '\x1eAlways\x1f{"cpu":"500m"}\x1f'}, 600),  # a sidecar stays
        ({"requests": '{"cpu":"1"}', "inits": '\x1eAlways\x1f{"cpu":"200m"}\x1f\x1e\x1f{"cpu":"1"}\x1f'}, 1200),
        ({"requests": '{"cpu":"1"}', "inits": '\x1eAlways\x1f{"cpu":"200m"}\x1f\x1e\x1f{"cpu":"2"}\x1f'}, 2200),
        ({"requests": '{"cpu":"1"}', "whole": '{"cpu":"3"}', "overhead": '{"cpu":"250m"}'}, 3250),
    ],
)
def test_requests_are_counted_as_the_scheduler_counts_them(fields: dict[str, str], cpu: int) -> None:
    found = of(**fields)
    assert found
    assert (found.requests["cpu"], found.requests["pods"]) == (cpu, 1000)


@given(
    st.integers(0, 10**6),
    st.sampled_from([("", 1), ("m", Fraction(1, 1000)), ("k", 1000), ("Ki", 1024), ("Gi", 2**30), ("E", 10**18)]),
)
def test_quantities(number: int, unit: tuple[str, Fraction]) -> None:
    assert thousandths(f"{number}{unit[0]}") == number * unit[1] * 1000


@pytest.mark.parametrize("text", ["", "1x", "1 Gi", "Gi", "1e", "--1", "1ee2"])
def test_what_is_no_quantity(text: str) -> None:
    with pytest.raises(ValueError, match="no quantity"):
        thousandths(text)


# ---- the Pod


def test_a_pod_that_has_finished_is_no_pod() -> None:
    assert of(phase="Succeeded") is None
    assert of(phase="Failed") is None


def test_the_owner_is_the_controller() -> None:
    owners = '[{"kind":"Machine","name":"m"},{"kind":"ReplicaSet","name":"web-7c9","controller":true}]'
    found = of(owners=owners, labels='{"pod-template-hash":"7c9"}')
    assert found
    assert (found.owner, found.workload, found.odd) == (("ReplicaSet", "web-7c9"), "shop/web", ())


@pytest.mark.parametrize(
    "fields",
    [
        {"scheduler": "volcano"},
        {"gates": '[{"name":"a"}]'},
        {"devices": '[{"name":"gpu"}]'},
        {"volumes": "\x1escratch\x1f\x1f\x1f\x1f{}"},
        {"owners": '[{"kind":"VirtualMachineInstance","name":"vm","controller":true}]'},
        {"tolerations": '[{"key":"a","operator":"Gt","value":"3"}]'},
    ],
)
def test_what_the_forecast_does_not_know_is_told(fields: dict[str, str]) -> None:
    found = of(**fields)
    assert found
    assert len(found.odd) == 1


def test_terms_mean_the_own_namespace_unless_they_say_others() -> None:
    term = {"labelSelector": {}, "topologyKey": "zone"}
    affinity = {
        kind: {"requiredDuringSchedulingIgnoredDuringExecution": [{**term, **more}]}
        for kind, more in (("podAntiAffinity", {}), ("podAffinity", {"namespaceSelector": {}}))
    }
    found = of(affinity=json.dumps(affinity))
    assert found
    assert (found.apart[0].namespaces, found.apart[0].namespace_selector) == ({"shop"}, None)
    assert (found.together[0].namespaces, found.together[0].namespace_selector) == (set(), ())


def test_only_spreads_that_keep_a_pod_from_being_scheduled_count() -> None:
    both = '[{"maxSkew":1,"topologyKey":"zone","whenUnsatisfiable":"%s","labelSelector":{},"matchLabelKeys":["hash"]}]'
    assert of(spreads=both % "ScheduleAnyway").spreads == ()
    (found,) = of(spreads=both % "DoNotSchedule", labels='{"hash":"x"}').spreads
    assert found.selector == (Requirement("hash", "In", frozenset("x")),)


# ---- selectors and tolerations


@pytest.mark.parametrize(
    ("toleration", "tolerated"),
    [
        (("", "Exists", "", ""), True),
        (("key", "Exists", "", ""), True),
        (("key", "", "v", "NoSchedule"), True),
        (("key", "Equal", "w", ""), False),
        (("key", "Exists", "", "NoExecute"), False),
        (("other", "Exists", "", ""), False),
        (("key", "Gt", "v", ""), False),
        (("", "Equal", "v", ""), False),
    ],
)
def test_tolerations(toleration: tuple[str, str, str, str], tolerated: bool) -> None:
    assert Toleration(*toleration).tolerates(Taint("key", "v", "NoSchedule")) == tolerated


@pytest.mark.parametrize(
    ("operator", "values", "meets"),
    [
        ("In", ["5"], {"5"}),
        ("NotIn", ["5"], {"6", "x", None}),
        ("Exists", [], {"5", "6", "x"}),
        ("DoesNotExist", [], {None}),
        ("Gt", ["5"], {"6"}),
        ("Lt", ["6"], {"5"}),
        ("Like", ["5"], set()),
    ],
)
def test_operators(operator: str, values: list[str], meets: set[str | None]) -> None:
    selector = label_selector({"matchExpressions": [{"key": "k", "operator": operator, "values": values}]})
    assert {value for value in ("5", "6", "x", None) if matches(selector, {} if value is None else {"k": value})} == meets


def test_an_empty_term_for_nodes_is_met_by_none() -> None:
    assert node_selector({"nodeSelectorTerms": [{}]}) == ()
    assert node_selector(None) is None


# ---- whole answers


def test_a_kind_that_cannot_be_read_is_an_error_and_not_absent() -> None:
    said = recorded_answer("kubernetes/1.36.3-drain-look").stdout
    head, _, rest = said.partition("@@ persistentvolumes 0\n")
    _, _, rest = rest.partition("@@ services")
    cluster = drain_look.parse_look(
        Answer(
            0, f"{head}@@ persistentvolumes 1\nError from server (Forbidden): persistentvolumes is forbidden\n@@ services{rest}"
        )
    )
    assert cluster.errors == {"persistentvolumes": "persistentvolumes is forbidden"}
    assert cluster.volumes == ()
    assert len(cluster.pods) == 8
    with pytest.raises(ValueError, match=r"said nothing about poddisruptionbudgets\.policy"):
        drain_look.parse_look(Answer(0, said.replace("@@ poddisruptionbudgets.policy", "@@ other")))


def test_an_api_server_without_a_version_is_an_error() -> None:
    said = recorded_answer("kubernetes/1.36.3-drain-look").stdout
    assert drain_look.parse_look(Answer(0, said.replace("version {", "version Error from server: no {"))).errors.keys() == {
        "version"
    }


def test_an_empty_selector_of_a_budget_means_nothing_before_policy_v1() -> None:
    found = [drain_look.parse_look(recorded_answer(f"kubernetes/{version}-drain-look")) for version in ("1.20.2", "1.36.3")]
    assert [next(each.selector for each in one.budgets if each.name == "empty") for one in found] == [None, ()]


@pytest.mark.parametrize("text", ["", "clock 1\nversion {}\n", "clock 1\nversion x\n@@ nodes 0\nonly\tthree\tfields\n"])
def test_an_answer_that_is_not_whole_is_an_error(text: str) -> None:
    with pytest.raises(ValueError):
        drain_look.parse_look(Answer(0, text))


def test_what_is_read_is_little() -> None:
    """No environment, no command line, no configuration of a container is asked for."""
    text = drain_look.look(master(1)).command.program
    assert not any(word in text for word in (".env", ".args", ".command", "caBundle", ".data"))
