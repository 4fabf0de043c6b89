"""etcd-learner.sh: what it makes of etcd's list of members, and of etcd's answers; and what a host is given to join with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from runbooks.commands.base import Secret
from runbooks.commands.kubeadm import MEMBERS, Learner, join, join_etcd_as
from runbooks.rules import kubeadm_phases
from tests.support.fakes import bash, master, site

pytestmark = pytest.mark.unit

SCRIPT = Path("scripts/host/etcd-learner.sh").read_text()
NAMES = st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,20}[a-z0-9])?", fullmatch=True)
URLS = st.one_of(
    st.ip_addresses(v=4).map(lambda each: f"https://{each}:2380"), st.ip_addresses(v=6).map(lambda each: f"https://[{each}]:2380")
)


def answer(members: list[dict[str, object]]) -> str:
    """As etcd's gateway writes it: a blank after each comma, none after a colon."""
    return json.dumps(
        {"header": {"cluster_id": "1", "member_id": "2", "raft_term": "3"}, "members": members}, separators=(", ", ":")
    )


def run(program: str, *words: str) -> str:
    quoted = " ".join("'" + word.replace("'", "'\\''") + "'" for word in words)
    found = bash(f"set -u\n{SCRIPT}\nset -- {quoted}\n{program}")
    assert found.exited == 0, found
    return found.stdout.rstrip("\n")


@settings(deadline=None, max_examples=15)
@given(st.lists(st.tuples(NAMES, st.lists(URLS, min_size=1, max_size=3, unique=True)), max_size=4), NAMES, URLS, st.booleans())
def test_the_initial_cluster_has_every_member_with_all_its_urls(others, name, url, first):
    others = [(each, [one for one in urls if one != url] or ["https://192.0.2.1:2380"]) for each, urls in others]
    listed = [
        {"ID": str(number), "name": each, "peerURLs": urls, "clientURLs": []} for number, (each, urls) in enumerate(others, 10)
    ]
    new: dict[str, object] = {"ID": "18446744073709551615", "peerURLs": [url], "isLearner": True}
    said = answer([new, *listed] if first else [*listed, new])
    own = [f"{name}={url}"]
    pairs = [f"{each}={one}" for each, urls in others for one in urls]
    wanted = ",".join([*own, *pairs] if first else [*pairs, *own])
    assert run('etcd_members "$1" "$2" "$3"; echo "$id $members"', name, url, said) == f"18446744073709551615 {wanted}"


def test_another_member_that_never_started_has_its_id_as_its_name():
    listed: list[dict[str, object]] = [
        {"ID": "77", "peerURLs": ["https://10.1.1.103:2380"]},
        {"ID": "5", "peerURLs": ["https://10.1.1.102:2380"]},
    ]
    said = run('etcd_members "$1" "$2" "$3"; echo "$members"', "master2", "https://10.1.1.102:2380", answer(listed))
    assert said == "77=https://10.1.1.103:2380,master2=https://10.1.1.102:2380"


def test_a_list_without_this_host_is_an_error():
    found = bash(f"{SCRIPT}\netcd_members a https://10.1.1.1:2380 '{answer([])}'")
    assert (found.exited, "etcd's list of members cannot be understood" in found.stdout) == (1, True)


# Answers of etcd 3.5.16, with the words in which it refuses.
SYNC = '{"code":9, "message":"etcdserver: can only promote a learner member which is in sync with leader"}'
VOTER = '{"code":9, "message":"etcdserver: can only promote a learner member"}'
TOO_MANY = '{"code":9, "message":"etcdserver: too many learner members in cluster"}'
REFUSED = "curl: (7) Failed to connect to 10.1.1.103 port 2379"


def asked(answers: dict[str, str], program: str) -> str:
    """Run ``program`` where the member with this host in its URL, asked for the action at its end, gives this answer."""
    cases = "\n".join(
        f"*{host}*/{action}) printf '%s' '{said}' ;;"
        for (host, _, action), said in ((k.partition(" "), v) for k, v in answers.items())
    )
    return run(f"etcd_call() {{ case $1 in\n{cases}\n*) echo '{REFUSED}'; return 7 ;; esac; }}\n{program}")


def test_the_first_member_that_answers_counts_and_of_refusals_that_of_etcd():
    both = "https://10.1.1.101:2379 https://10.1.1.103:2379"
    assert asked({"101 list": answer([])}, f"etcd_ask list '{{}}' {both}") == answer([])
    assert asked({"103 list": answer([])}, f"etcd_ask list '{{}}' {both}") == answer([])
    assert asked({"101 add": TOO_MANY}, f"etcd_ask add '{{}}' {both} || echo refused") == (
        "etcdserver: too many learner members in cluster\nrefused"
    )
    assert asked({}, f"etcd_ask add '{{}}' {both} || echo refused") == f"{REFUSED}\nrefused"


@pytest.mark.parametrize(
    ("promoted", "learner", "voted"),
    [('{"header":{}}', True, "yes"), (SYNC, True, "no"), (VOTER, False, "yes"), (REFUSED, False, "yes"), (REFUSED, True, "no")],
    ids=["it votes now", "not in sync", "it has voted", "lost answer", "nobody answers"],
)
def test_a_vote_is_there_when_etcd_says_so_or_lists_it(promoted, learner, voted):
    one = {"ID": "5", "name": "m", "peerURLs": ["u"], **({"isLearner": True} if learner else {})}
    answers = {"101 promote": promoted, "101 list": answer([{"ID": "55", "name": "x", "peerURLs": ["v"]}, one])}
    assert asked(answers, "if etcd_vote 5 https://10.1.1.101:2379; then echo yes; else echo no; fi") == voted


LIVE = yaml.safe_dump(
    {
        "apiVersion": "kubeadm.k8s.io/v1beta2",
        "kind": "ClusterConfiguration",
        "clusterName": "other",
        "etcd": {"local": {"dataDir": "/data/etcd", "extraArgs": {"heartbeat-interval": "250"}, "imageTag": "3.5.16-0"}},
    }
)


def test_the_manifest_is_made_of_the_clusters_own_configuration():
    found = kubeadm_phases.learner(site(), master(2), LIVE, asked=master(3))
    assert found
    assert (found.name, found.peer_url) == ("master2", "https://10.1.1.102:2380")
    assert found.peers == ("https://10.1.1.103:2379", "https://10.1.1.101:2379")
    init, cluster = yaml.safe_load_all(found.config)
    assert (init["nodeRegistration"]["name"], init["localAPIEndpoint"]["advertiseAddress"]) == ("master2", "10.1.1.102")
    local = cluster["etcd"]["local"]
    assert local["extraArgs"] == {"heartbeat-interval": "250", "initial-cluster": MEMBERS, "initial-cluster-state": "existing"}
    assert (local["imageTag"], local["dataDir"], cluster["clusterName"]) == ("3.5.16-0", "/data/etcd", "other")


@pytest.mark.parametrize(("value", "there"), [("false", False), ("0", False), ("true", True)])
def test_without_an_api_over_http_only_kubeadm_can_add_the_member(value, there):
    live = LIVE.replace("heartbeat-interval: '250'", f"enable-grpc-gateway: '{value}'")
    assert f"enable-grpc-gateway: '{value}'" in live
    assert bool(kubeadm_phases.learner(site(), master(2), live, asked=master(1))) == there


def test_a_kubeadm_that_adds_learners_itself_gets_no_such_configuration():
    with pytest.raises(ValueError, match="adds the member of etcd itself"):
        kubeadm_phases.learner(site(), master(2), LIVE.replace("v1beta2", "v1beta4"), asked=master(1))


def test_what_is_done_is_said_without_its_configuration():
    learner = Learner("master2", "https://10.1.1.102:2380", (), Secret("extraArgs"))
    for command in (join(Secret(""), learner=learner), join_etcd_as(learner)):
        assert "etcdctl member add master2 --learner; kubeadm init phase etcd local" in command.shown
        assert "extraArgs" not in command.shown
        assert "extraArgs" in command.program
