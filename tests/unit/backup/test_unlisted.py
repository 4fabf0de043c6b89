"""A set whose objects could not be listed says why, once: from the words of curl, kubectl and API servers, and of earlier sets."""

import json
from datetime import timedelta

import pytest

from runbooks.backup import status
from runbooks.backup.read import extract, verify
from runbooks.backup.read.show import show_list, show_set
from runbooks.backup.rules import unlisted
from runbooks.backup.rules.unlisted import OBJECTS, refusal
from runbooks.backup.run.new_set import NewSet
from runbooks.backup.run.procedure import shortcomings
from runbooks.backup.sets.manifest import Missing
from runbooks.errors import InventoryError, OutcomeError
from tests.support.sets import NOON, put, store_in

pytestmark = pytest.mark.unit

KINDS = [f"kind{number:02}" for number in range(53)]


def status_of(code: int, message: str) -> str:
    return f"HTTP {code} " + json.dumps({"kind": "Status", "status": "Failure", "message": message, "code": code})


def forbidden(kind: str, user: str = "kubernetes-admin") -> str:
    return status_of(
        403, f'{kind} is forbidden: User "{user}" cannot list resource "{kind}" in API group "" at the cluster scope'
    )


def failed(why=forbidden, kinds=KINDS) -> dict[str, str]:
    return {f"resources/{kind}": why(kind) for kind in kinds}


@pytest.mark.parametrize(
    ("text", "code", "user"),
    [
        (forbidden("pods"), 403, "kubernetes-admin"),
        ('Error from server (Forbidden): pods is forbidden: User "jane" cannot list resource "pods"', 403, "jane"),
        ("error: You must be logged in to the server (Unauthorized)", 401, ""),
        (status_of(401, "Unauthorized"), 401, ""),
        ("the API server did not list it: curl: (22) The requested URL returned error: 403", 403, ""),
        ('Error from server (NotFound): configmaps "kubeadm-config" not found', 404, ""),
        (status_of(500, "etcdserver: request timed out"), 500, ""),
        ("curl: (7) Failed to connect to 10.1.1.103 port 6443: Connection refused", 0, ""),
    ],
)
def test_what_was_answered_instead(text, code, user):
    seen = refusal(text)
    assert (seen.status, seen.user) == (code, user)
    if code not in (401, 403):
        assert seen.text in seen.cause


def test_every_cause_has_one_thing_to_do():
    assert "kubeadm:cluster-admins --clusterrole=cluster-admin" in refusal(forbidden("pods")).cause
    assert "kubectl auth can-i" in refusal(forbidden("pods", "jane")).cause
    assert "inv certs.check" in refusal(status_of(401, "Unauthorized")).cause
    assert "inv cluster.verify" in refusal(status_of(503, "")).cause


@pytest.mark.parametrize(
    "text",
    [
        "curl: (7) Failed to connect to 10.1.1.103 port 6443: Connection refused",
        "curl: (18) transfer closed with outstanding read data remaining",
        "The connection to the server 10.1.1.103:6443 was refused - did you specify the right host or port?",
        "Unable to connect to the server: net/http: TLS handshake timeout",
        "",
    ],
)
def test_no_answer_is_what_curl_and_kubectl_say_of_a_connection(text):
    assert refusal(text).cause.startswith("the API server did not answer: ")
    assert refusal(text).cause.endswith("; inv cluster.verify")


@pytest.mark.parametrize(
    "text",
    [
        "no space left on the device of /var/lib/ha-runbooks",
        "/etc/kubernetes/admin.conf is missing; without it nothing can be read from the API server",
        "curl: (23) Failure writing output to destination",
    ],
)
def test_what_is_wrong_with_the_host_is_not_said_of_the_api_server(text):
    assert refusal(text).cause == text
    assert unlisted.missing(KINDS, failed(lambda _: text), "master3")[OBJECTS].endswith(f": on master3, {text}")


def test_hosts_are_named_together_only_when_their_cause_is_the_same():
    def none(host: str, why: str) -> str:
        return unlisted.missing(KINDS, failed(lambda _: why), host)[OBJECTS]

    down = "curl: (7) Failed to connect to 10.1.1.10{} port 6443 after {} ms: Couldn't connect to server"
    full = "no space left on the device of /var/lib/ha-runbooks"
    said = {
        "master3": none("master3", down.format(3, 0)),
        "master2": none("master2", down.format(2, 11)),
        "master1": none("master1", full),
        "master4": "master4: no route to host",
        "master5": "",
    }
    assert unlisted.nowhere(said) == f"{said['master3']}; so it was on master2; master1: {full}; master4: no route to host"
    assert unlisted.nowhere({"master1": said["master1"]}) == said["master1"]
    assert unlisted.nowhere({"master1": ""}) == unlisted.nowhere({}) == ""


def test_many_kinds_are_one_entry_and_kubeadm_config_does_not_repeat_it():
    found = unlisted.missing([*KINDS, "nodes"], failed() | {"kubeadm-config": forbidden("configmaps")}, "master3")
    assert list(found) == [OBJECTS, "master3: kubeadm-config"]
    assert found[OBJECTS].startswith(
        'of 54 kinds the set holds only nodes: on master3, the API server does not let the user "kubernetes'
    )
    assert found[OBJECTS].count("403") == 1
    assert found["master3: kubeadm-config"] == "for the same reason as the objects"


def test_few_kinds_keep_their_names_and_other_parts_their_words():
    found = unlisted.missing(KINDS, failed(kinds=KINDS[:2]) | {"etcd": "only 3 MiB are free"}, "master3")
    assert list(found) == ["master3: resources/kind00", "master3: resources/kind01", "master3: etcd"]
    assert found["master3: etcd"] == "only 3 MiB are free"


def test_what_only_some_kinds_lack_is_named():
    found = unlisted.missing(KINDS, failed(lambda _: "curl: (28) Operation timed out", KINDS[:8]), "master3")
    assert found[OBJECTS].startswith(
        "of 53 kinds the set lacks kind00, kind01, kind02, kind03, kind04, kind05, and 2 more: on master3"
    )
    assert "curl: (28) Operation timed out" in found[OBJECTS]


def test_two_causes_are_both_told():
    words = failed(kinds=KINDS[:30]) | failed(lambda _: status_of(504, "timeout"), KINDS[30:])
    said = unlisted.missing(KINDS, words, "master3")[OBJECTS]
    assert said.startswith("the set holds none of 53 kinds")
    assert said.count("HTTP 403") == said.count("HTTP 504") == 1


# ---- sets on disk


def old_set(store) -> str:
    """A set as earlier builds made it on 1.36: nodes, and a line for each of the others."""
    said = "the API server did not list it: curl: (22) The requested URL returned error: 403"
    lists = [Missing(what=f"master3: resources/{kind}", why=said) for kind in KINDS]
    return put(store, NOON, state="degraded", missing=(Missing(what="lb2: files", why="no answer"), *lists))


CAUSE = "of 54 kinds the set holds only pods: on master3, the API server refused to list them"


@pytest.fixture
def store(tmp_path):
    return store_in(tmp_path, guarded=True)


def test_show_says_it_in_its_first_line(opened, store, capsys):
    name = old_set(store)
    show_set(opened())
    said = capsys.readouterr().out
    assert said.splitlines()[0].startswith(f"{name}: degraded; it lacks objects: {CAUSE}")
    assert said.count("403") == 1
    assert "missing\n  lb2: files: no answer\n" in said


def test_the_list_says_it(opened, store, capsys):
    name = old_set(store)
    show_list(opened())
    said = capsys.readouterr().out
    assert f"\n{name} lacks objects: {CAUSE}" in said
    show_list(opened(json=True))
    (row,) = json.loads(capsys.readouterr().out)["sets"]
    assert list(row["missing"]) == ["objects", "lb2: files"]


def test_verify_says_it_in_its_first_line(opened, store, capsys):
    name = old_set(store)
    with pytest.raises(OutcomeError, match="it is no list of objects"):  # the files of this set are filled with letters
        verify.verify(opened(), "", "", everything=False)
    assert capsys.readouterr().out.startswith(f"{name}: it has lacked objects since it was made: {CAUSE}")


def test_extract_says_it_instead_of_similar_kinds(opened, store):
    name = old_set(store)
    with pytest.raises(InventoryError, match=f"--kind secrets: {name} lacks objects: {CAUSE}") as raised:
        extract.extract(opened(), extract.Wanted(kind="secrets"))
    assert "--kind one of" not in raised.value.hint


def test_status_and_doctor_say_it_of_the_newest_set(opened, store):
    put(store, NOON - timedelta(days=1))
    name = old_set(store)
    problems, _, _ = status.trouble_with(opened())
    assert problems[0].startswith(f"the newest set, {name}, lacks objects: {CAUSE}")


def test_a_run_says_it_first(store):
    new_set = NewSet(store=store)
    new_set.note_missing("lb2: files", "no answer")
    new_set.note_missing(OBJECTS, "the set holds none of 53 kinds")
    assert list(new_set.missing) == [OBJECTS, "lb2: files"]
    assert shortcomings(new_set) == "it lacks objects: the set holds none of 53 kinds\nand it lacks:\n  lb2: files: no answer"
