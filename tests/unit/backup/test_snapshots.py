"""Which snapshots count, what the API server offers, and what etcd counted."""

from __future__ import annotations

import json
from base64 import b64encode
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.backup.rules.snapshots import ProvenSnapshot, bytes_needed, select
from runbooks.backup.sets import manifest
from runbooks.commands import backup
from runbooks.commands.backup import Kind
from runbooks.commands.base import Answer
from runbooks.errors import RunbookError
from tests.support.fakes import lb, master

pytestmark = pytest.mark.unit


# ---- which snapshots are kept


def test_all_of_one_cluster_and_newer_than_the_last_set_count() -> None:
    found = select({"m1": ProvenSnapshot("c", 10), "m2": ProvenSnapshot("c", 11)}, ProvenSnapshot("c", 10))
    assert (found.kept, found.refused) == (("m1", "m2"), {})


def test_a_member_that_fell_back_does_not_count() -> None:
    found = select({"m1": ProvenSnapshot("c", 9), "m2": ProvenSnapshot("c", 11)}, ProvenSnapshot("c", 10))
    assert found.kept == ("m2",)
    assert found.refused == {"m1": "its revision 9 is older than 10, which the last set has"}


def test_older_states_count_when_they_were_restored_on_purpose() -> None:
    assert select({"m1": ProvenSnapshot("c", 9)}, ProvenSnapshot("c", 10), accept_older=True).kept == ("m1",)


def test_a_new_cluster_begins_anew() -> None:
    assert select({"m1": ProvenSnapshot("new", 1)}, ProvenSnapshot("old", 1000)).kept == ("m1",)


def test_the_one_of_another_cluster_does_not_count() -> None:
    found = select({"m1": ProvenSnapshot("c", 10), "m2": ProvenSnapshot("d", 10), "m3": ProvenSnapshot("c", 10)}, None)
    assert (found.kept, list(found.refused)) == (("m1", "m3"), ["m2"])


def test_a_tie_between_clusters_is_nobodys_to_decide() -> None:
    found = select({"m1": ProvenSnapshot("c", 10), "m2": ProvenSnapshot("d", 10)}, None)
    assert found.kept == ()
    assert all("to different clusters" in why for why in found.refused.values())


taken = st.dictionaries(
    st.sampled_from(["m1", "m2", "m3", "m4", "m5"]), st.builds(ProvenSnapshot, st.sampled_from("cde"), st.integers(1, 9))
)


@given(taken=taken, last=st.none() | st.builds(ProvenSnapshot, st.sampled_from("cde"), st.integers(1, 9)))
def test_what_counts_is_of_one_cluster_and_never_older(taken: dict[str, ProvenSnapshot], last: ProvenSnapshot | None) -> None:
    found = select(taken, last)
    assert set(found.kept) | set(found.refused) == set(taken)
    assert not set(found.kept) & set(found.refused)
    assert len({taken[host].cluster for host in found.kept}) <= 1
    if last:
        assert all(taken[host].revision >= last.revision for host in found.kept if taken[host].cluster == last.cluster)


def test_room_for_all_of_it() -> None:
    assert bytes_needed([10, 20], 8) == 34 + (64 << 20)


# ---- what the API server offers


def offer(group_version: str, *plurals: str, verbs: tuple[str, ...] = ("list", "get")) -> dict[str, Any]:
    resources = [{"name": plural, "kind": "X", "namespaced": True, "verbs": list(verbs)} for plural in plurals]
    return {"kind": "APIResourceList", "groupVersion": group_version, "resources": resources}


GROUPS = {
    "groups": [
        {"name": "batch", "preferredVersion": {"groupVersion": "batch/v1", "version": "v1"}},
        {"name": "apps", "preferredVersion": {"groupVersion": "apps/v1", "version": "v1"}},
    ]
}


def read(*documents: dict[str, Any], more: str = "") -> backup.Kinds:
    lines = [{"gitVersion": "v1.20.2"}, GROUPS, *documents]
    return backup.parse_kinds(Answer(0, "\n".join(map(json.dumps, lines)) + "\n" + more))


def test_each_kind_once_in_the_preferred_version() -> None:
    found = read(
        offer("v1", "pods", "pods/log", "services"),
        offer("batch/v1beta1", "cronjobs", "jobs"),
        offer("batch/v1", "jobs"),
        offer("authorization/v1", "reviews", verbs=("create",)),
    )
    assert found.version == "v1.20.2"
    assert [(kind.name, kind.path) for kind in found.kinds] == [
        ("cronjobs.batch", "/apis/batch/v1beta1/cronjobs"),
        ("jobs.batch", "/apis/batch/v1/jobs"),
        ("pods", "/api/v1/pods"),
        ("services", "/api/v1/services"),
    ]


def test_a_version_that_is_silent_is_named() -> None:
    assert read(offer("v1", "pods"), more="@! metrics.k8s.io/v1beta1\n").silent == ("metrics.k8s.io/v1beta1",)


@pytest.mark.parametrize("text", ["", "{}\n", "[]\n[]\n", '{"gitVersion": "v1"}\n{"groups": [{}]}\n', "no json\n"])
def test_anything_else_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        backup.parse_kinds(Answer(0, text))


def test_where_objects_lie_in_etcd() -> None:
    kinds = [
        Kind("pods", "", "pods"),
        Kind("services", "", "services"),
        Kind("nodes", "", "nodes"),
        Kind("endpoints", "", "endpoints"),
    ]
    kinds += [Kind("widgets.stock.example", "", "widgets", "stock.example")]
    assert backup.prefixes(kinds) == (
        "/registry/pods/",
        "/registry/services/specs/",
        "/registry/services/endpoints/",
        "/registry/minions/",
        "/registry/widgets/",
        "/registry/stock.example/widgets/",
    )


# ---- what etcd counted


def answered(count: int, *keys: str) -> dict[str, Any]:
    kvs = [{"key": b64encode(key.encode()).decode(), "mod_revision": 5, "value": "djE="} for key in keys]
    return {"Response": {"response_range": {"count": count, "kvs": kvs} if count else {}}}


def test_counts_and_samples() -> None:
    text = json.dumps({"responses": [answered(9, "/a"), answered(2, "/p/1", "/p/2"), answered(0)]})
    found = backup.parse_keys(text, ["/p/", "/q/"])
    assert (found.total, found.counts) == (9, {"/p/": 2})
    assert [(each.mod_revision, each.value) for each in found.samples] == [(5, "djE=")] * 2


def test_as_etcd_3_4_says_it() -> None:
    text = json.dumps({"responses": [answered(9), answered(1, "/p/1")]}).replace("response_range", "ResponseRange")
    assert backup.parse_keys(text, ["/p/"]).counts == {"/p/": 1}


def test_more_than_one_transaction() -> None:
    lines = [{"responses": [answered(9), answered(1, "/a/1")]}, {"responses": [answered(3, "/b/1")]}]
    assert backup.parse_keys("\n".join(map(json.dumps, lines)), ["/a/", "/b/"]).counts == {"/a/": 1, "/b/": 3}


@pytest.mark.parametrize("text", ["", "{}", '{"responses": [{}]}', '{"responses": []}', "no", '{"responses": 7}'])
def test_what_is_no_count(text: str) -> None:
    with pytest.raises(ValueError):
        backup.parse_keys(text, ["/a/"])


# ---- commands


def test_no_secret_and_no_path_is_pasted_into_a_program() -> None:
    assert "BASE='/var/lib/a b'" in backup.files("/var/lib/a b", lb(1)).program
    assert "haproxy.cfg" in backup.files("/x", lb(1)).program
    assert "/etc/kubernetes/pki/ca.crt" not in backup.files("/x", lb(1)).program
    assert "/etc/kubernetes/pki/ca.crt" in backup.files("/x", master(1)).program
    assert backup.etcd("/x", [], 1 << 30).timeout > backup.etcd("/x", [], 1 << 20).timeout


# ---- the manifest


def made(**changes: Any) -> manifest.Manifest:
    when = datetime(2026, 1, 7, 2, 17, tzinfo=UTC)
    snapshot = manifest.Snapshot(
        host="m1", member="a1", file="etcd/m1.db", version="3.5.16", revision=7, hash=1, total_keys=9, size=10, live_keys=5
    )
    whole = manifest.Manifest(
        id=manifest.new_id(when),
        site="s",
        state="good",
        started=when,
        finished=when,
        etcd=manifest.Etcd(cluster="c1", revision=7, members=()),
        snapshots=(snapshot,),
        kinds={},
        files={"etcd/m1.db": manifest.Stored(size=10, sha256="0" * 64)},
    )
    return msgspec.structs.replace(whole, **changes)


def test_a_manifest_is_read_as_it_was_written() -> None:
    one = made()
    assert manifest.read(manifest.write(one), "x") == one
    assert json.loads(manifest.write(one))["manifest"]["id"] == "20260107T021700Z"


@given(data=st.data())
def test_no_changed_bit_goes_unnoticed(data: st.DataObject) -> None:
    content = bytearray(manifest.write(made()))
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= 1 << data.draw(st.integers(0, 7))
    with suppress(RunbookError):
        assert manifest.read(bytes(content), "x") == made()  # white space outside of what is signed


def test_another_format_is_not_guessed_at() -> None:
    with pytest.raises(RunbookError, match="its format is 2, which this version of the tool cannot read"):
        manifest.read(manifest.write(made(format=2)), "x")
