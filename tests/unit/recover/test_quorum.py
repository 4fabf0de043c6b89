"""Whether etcd is restored, onto which hosts and from which source; and the parsers of what hosts print."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.commands import etcd_flags, etcd_restore
from runbooks.commands.base import Answer
from runbooks.commands.etcd import Look, Member, Status
from runbooks.commands.etcd_restore import Database, HostData, NewMember
from runbooks.commands.static_pods import StaticPod
from runbooks.errors import PrecheckError
from runbooks.inventory.model import Host
from runbooks.recover.pages import restoring
from runbooks.recover.quorum import steps
from runbooks.recover.quorum.prepare import starts
from runbooks.recover.rules import quorum as rules
from runbooks.recover.rules.quorum import EtcdSurvey
from runbooks.recover.rules.restore import Restore, Source, is_stale, read
from runbooks.rules.etcd import View
from tests.support.fakes import master, site
from tests.support.recorded import recorded_answer

pytestmark = pytest.mark.unit

M1, M2, M3 = (master(number) for number in (1, 2, 3))
ALL = (M1, M2, M3)
CAS = {"pki/ca.crt": "AA", "pki/etcd/ca.crt": "BB"}
SET = Source(
    kind="set",
    name="20260107T021700Z",
    revision=500,
    size=4096,
    part="etcd/master1.db",
    made="2026-01-07T02:17:00+00:00",
    sha256="0f" * 32,
    cluster="c1",
)


def member(host: Host) -> Member:
    return Member(
        id=host.name[-1],
        name=host.name,
        peer_urls=(f"https://{host.address}:2380",),
        client_urls=(f"https://{host.address}:2379",),
    )


def status(host: Host, revision: int = 600, cluster: str = "c1", leader: str = "") -> Status:
    return Status(
        member=host.name[-1],
        cluster=cluster,
        version="3.5.16",
        size=4096,
        in_use=4096,
        leader=leader,
        term=4,
        index=9,
        applied=9,
        revision=revision,
    )


def alone(host: Host, **more: Any) -> Look:
    """A member that runs and has no quorum."""
    return Look(status(host, **more), why="it cannot read with a quorum")


def serving(host: Host, *members: Host) -> Look:
    return Look(status(host, leader="1"), tuple(member(each) for each in members), serves=True)


DEAD = Look(None, why="etcd does not run here")


def host_data(host: Host, **more: Any) -> HostData:
    given: dict[str, Any] = {
        "name": host.name,
        "peer": f"https://{host.address}:2380",
        "authorities": CAS,
        "kubelet": "active",
        "database": Database(size=4096, written=1_767_752_220, logs=1),
        "free": (1 << 40, 1 << 40),
    }
    return HostData(base="/var/lib/etcd.", **(given | more))


def pods(manifest: str = "on", container: str = "c0ffee") -> dict[str, StaticPod]:
    return {"etcd": StaticPod(manifest, container)}  # type: ignore[arg-type]


def survey(looks: dict[Host, Look], **more: Any) -> EtcdSurvey:
    """What is seen when the hosts that ``looks`` does not name are off."""
    silent = {host: "no answer" for host in ALL if host not in looks}
    view = View({host: looks.get(host, "no answer") for host in ALL})
    hosts = {host: host_data(host) for host in looks}
    return replace(EtcdSurvey(view=view, hosts=hosts, pods={host: pods() for host in looks}, silent=silent), **more)


def plan(**more: Any) -> Restore:
    new_members = {host.name: NewMember(host.name, f"https://{host.address}:2380") for host in ALL}
    return replace(
        Restore(token="restore-1", started="20260107T031700Z", source=SET, members=new_members, left={}, before=700), **more
    )


# ---- is it really gone?


def test_one_of_three_is_no_quorum():
    assert rules.refusal(survey({M1: alone(M1)})) is None


def test_a_quorum_is_not_restored_over():
    seen = rules.refusal(survey({M1: serving(M1, *ALL), M2: serving(M2, *ALL)}))
    assert seen
    assert "etcd has a quorum: master1 (revision 600), master2 (revision 600) serve" in seen.why
    assert "cluster of one" not in seen.why
    assert not seen.final


def test_a_new_cluster_of_one_is_named_as_such():
    seen = rules.refusal(survey({M1: serving(M1, M1), M2: DEAD}))
    assert seen
    assert "cluster of one" in seen.why
    assert "--insist" in seen.why


def test_the_only_member_of_a_site_of_one_is_just_a_quorum():
    view = View({M1: serving(M1, M1)})
    seen = rules.refusal(EtcdSurvey(view=view, hosts={M1: host_data(M1)}, pods={M1: pods()}, silent={}))
    assert seen
    assert "cluster of one" not in seen.why


@pytest.mark.parametrize(
    ("where", "on", "more", "refused"),
    [
        ("parked", "", {}, True),
        ("on", "", {"kubelet": "inactive"}, True),
        ("none", "", {"kubelet": "inactive"}, True),
        ("on", "", {}, False),  # it has been tried, and it does not stay up
        ("on", "c0ffee", {"kubelet": "inactive"}, False),
        ("parked", "", {"database": None}, False),
        ("parked", "", {"database": Database(size=4096, written=0, logs=0)}, False),
        ("none", "", {"name": "", "peer": ""}, True),
        ("none", "", {"name": "", "peer": "", "database": None}, False),
    ],
)
def test_a_majority_that_only_has_to_be_started(where: str, on: str, more: dict[str, Any], refused: bool):
    seen = survey({M1: alone(M1), M2: DEAD})
    seen = replace(seen, hosts={M1: host_data(M1), M2: host_data(M2, **more)}, pods={M1: pods(), M2: pods(where, on)})
    found = rules.refusal(seen)
    assert bool(found) == refused
    if found:
        assert "master2" in found.why
        assert "inv recover.etcd-member --member master2" in found.instead
        assert "master1" not in found.instead


def test_members_that_all_run_and_do_not_agree_are_no_loss():
    found = rules.refusal(survey({host: alone(host) for host in ALL}))
    assert found
    assert "do not agree on a leader" in found.why


def test_a_member_that_runs_without_its_files_is_none():
    """Its data directory was deleted under it: when it ends, there is nothing."""
    seen = survey({M1: alone(M1), M2: alone(M2)})
    assert rules.refusal(replace(seen, hosts={M1: host_data(M1), M2: host_data(M2, database=None)})) is None


def test_a_silent_host_that_others_reach_may_have_the_quorum():
    seen = survey({M1: alone(M1)}, alive={M2: ("lb1 on port 2379",), M3: ()})
    found = rules.refusal(seen)
    assert found
    assert found.final
    assert "master2 answers lb1 on port 2379" in found.why
    assert "master3" not in found.why


def test_what_we_stopped_ourselves_does_not_count_as_startable():
    seen = survey(dict.fromkeys(ALL, DEAD))
    seen = replace(seen, pods={host: pods("parked", "") for host in ALL})
    assert rules.refusal(seen)
    assert rules.refusal(seen, "restore-1") is None


def test_a_note_alone_does_not_make_a_restore_of_a_healthy_cluster():
    """Left by a run that was killed before it stopped anything; the cluster was repaired since."""
    noted = {host: host_data(host, plan=plan().text) for host in ALL}
    healthy = replace(survey({host: serving(host, *ALL) for host in ALL}), hosts=noted)
    assert rules.refusal(healthy, "restore-1")
    stopped = replace(survey({M1: alone(M1), M2: DEAD}), hosts={M1: noted[M1], M2: host_data(M2, kubelet="inactive")})
    assert rules.refusal(replace(stopped, pods={M1: pods(), M2: pods("on", "")}), "restore-1")


def test_the_restored_cluster_itself_is_no_reason_to_stop():
    over = {host: host_data(host, notes={"swapped": "restore-1"}) for host in (M1, M2)}
    seen = replace(survey({M1: serving(M1, *ALL), M2: serving(M2, *ALL)}), hosts=over)
    assert rules.refusal(seen, "restore-1") is None
    assert rules.refusal(seen, "restore-2")
    done = {host: host_data(host, done=plan().text) for host in (M1, M2)}
    assert rules.refusal(replace(seen, hosts=done), "restore-1") is None
    # Somebody brought the old cluster back while one host already has the new data.
    assert rules.refusal(replace(seen, hosts={M1: over[M1], M2: host_data(M2)}), "restore-1")


# ---- on whom


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"name": "", "peer": "", "missing": ("/etc/kubernetes/pki/ca.crt",), "authorities": {}}, "an empty machine"),
        ({"name": "", "peer": ""}, "no manifest of etcd"),
        ({"missing": ("/etc/kubernetes/pki/sa.key",)}, "lacks /etc/kubernetes/pki/sa.key"),
        ({"authorities": {**CAS, "pki/ca.crt": "CC"}}, "CA differs"),
        ({"wal_dir": "/wal"}, "write-ahead log is in another directory (/wal)"),
    ],
)
def test_who_cannot_be_in_the_new_cluster(more: dict[str, Any], reason: str):
    seen = survey(dict.fromkeys(ALL, DEAD))
    members, left = rules.new_members(replace(seen, hosts={**seen.hosts, M3: host_data(M3, **more)}))
    assert list(members) == ["master1", "master2"]
    assert reason in left["master3"]


def test_hosts_without_data_are_in_the_new_cluster_and_silent_ones_are_not():
    seen = survey({M1: DEAD, M2: DEAD})
    members, left = rules.new_members(replace(seen, hosts={M1: host_data(M1, database=None), M2: host_data(M2)}))
    assert members == {
        "master1": NewMember("master1", "https://10.1.1.101:2380"),
        "master2": NewMember("master2", "https://10.1.1.102:2380"),
    }
    assert left == {"master3": "no answer"}


@pytest.mark.parametrize(
    ("free", "short"), [((0, 1 << 40), "etcd's data"), ((1 << 40, 0), "the snapshot"), ((1 << 40, 1 << 40), "")]
)
def test_room(free: tuple[int, int], short: str):
    said = rules.short_of_room(host_data(M1, free=free), 1 << 20)
    assert bool(said) == bool(short)
    assert short in said


# ---- from what


def test_the_newest_set_unless_a_survivor_is_newer():
    newer = Source(kind="member", name="master1", revision=600, size=4096, cluster="c1", carries=False)
    older = replace(newer, revision=400)
    assert rules.choose([SET], [newer])[0] == newer
    assert rules.choose([SET], [older])[0] == SET
    assert rules.choose([SET], [replace(newer, revision=500)])[0] == SET
    assert rules.choose([SET], [])[0] == SET
    assert rules.choose([], [older])[0] == older
    assert rules.choose([], [])[0] is None


def test_a_survivor_of_another_cluster_is_no_survivor():
    stranger = Source(kind="member", name="master1", revision=90_000, size=4096, cluster="c2", carries=False)
    unknown = replace(stranger, cluster="")
    assert rules.choose([SET], [stranger])[0] == SET
    assert rules.choose([SET], [unknown])[0] == unknown
    assert rules.choose([SET], [stranger, replace(stranger, name="master2", cluster="c1", revision=700)])[0].name == "master2"  # type: ignore[union-attr]


def test_survivors_are_asked_or_read():
    seen = survey({M1: alone(M1, revision=600), M2: DEAD, M3: DEAD})
    seen = replace(
        seen,
        hosts={
            M1: host_data(M1),
            M2: host_data(M2, database=Database(size=4096, written=0, logs=1, revision=650)),
            M3: host_data(M3, database=Database(size=1, written=0, logs=1)),
        },
    )
    found = rules.survivors(seen, {"master1", "master2", "master3"})
    assert [(each.name, each.revision, each.cluster) for each in found] == [("master2", 650, ""), ("master1", 600, "c1")]
    assert [each.name for each in rules.survivors(seen, {"master1"})] == ["master1"]


# ---- what is noted on the hosts


def test_a_restore_reads_back_as_it_was_noted():
    made = plan(left={"master3": "no \"answer\"\n'x'"}, quiet=("master3",), nodes=("worker1",), missed=("worker2",), insist=True)
    made = replace(made, outside=("worker3",))
    assert read(made.text) == made
    before = json.loads(made.text)  # as it was noted before there was this field
    del before["outside"]
    assert read(json.dumps(before)) == replace(made, outside=())
    assert "\n" not in made.text
    assert read(made.text).text == made.text  # type: ignore[union-attr]


@given(st.text() | st.from_regex(r"\{.*\}"))
def test_what_is_no_note_is_none(text: str):
    assert read(text) is None


def test_the_newest_note_counts():
    old, new = plan(token="restore-0", started="20260107T021700Z"), plan()
    seen = survey(dict.fromkeys(ALL, DEAD))
    noted = {M1: host_data(M1, plan=new.text), M2: host_data(M2, plan=old.text), M3: host_data(M3)}
    assert rules.unfinished(replace(seen, hosts=noted)) == new
    assert rules.unfinished(seen) is None


def test_an_old_note_is_stale():
    assert is_stale(plan(), datetime(2026, 1, 8, 4, tzinfo=UTC))
    assert not is_stale(plan(), datetime(2026, 1, 7, 4, tzinfo=UTC))


# ---- what a host prints

SAID = """note plan {"a b": 1}
note program 3.5.16 bump
note swapped restore-1
base /var/lib/etcd/
member master1 https://10.1.1.101:2380
missing /etc/kubernetes/pki/sa.key
ca pki/ca.crt AA:BB
ca pki/etcd/ca.crt CC:DD
kubelet active
data 4096 1767752220 2
free 1000 2000
status {"hash":1,"revision":77,"totalKey":3,"totalSize":4096}
"""


def test_a_host_is_read():
    found = etcd_restore.parse(Answer(0, SAID))
    assert found.plan == '{"a b": 1}'
    assert found.reader == ("3.5.16", True)
    assert found.notes == {"program": "3.5.16 bump", "swapped": "restore-1"}
    assert (found.name, found.peer, found.base) == ("master1", "https://10.1.1.101:2380", "/var/lib/etcd/")
    assert found.missing == ("/etc/kubernetes/pki/sa.key",)
    assert found.authorities == {"pki/ca.crt": "AA:BB", "pki/etcd/ca.crt": "CC:DD"}
    assert found.database == Database(size=4096, written=1767752220, logs=2, revision=77)
    assert found.free == (1000, 2000)


def test_a_bare_host_is_read():
    found = etcd_restore.parse(Answer(0, "base /var/lib/etcd.\nkubelet unknown\nfree 1 2\n"))
    assert (found.name, found.database, found.reader) == ("", None, ("", False))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "base x\n",
        "base x\nfree 1\n",
        "base x\nfree a b\n",
        "base x\nfree 1 2\ndata 1\n",
        "free 1 2\nbase x\ndata 1 2 3\nstatus {}\n",
    ],
)
def test_half_an_answer_is_an_error(text: str):
    with pytest.raises(ValueError, match="etcd's data"):
        etcd_restore.parse(Answer(0, text))


def test_what_is_newer_is_read():
    found = etcd_restore.parse_newer(Answer(0, "key /registry/configmaps/a/b c\nkey /registry/pods/x\ncount 7\n"))
    assert found == etcd_restore.Newer(7, ("/registry/configmaps/a/b c", "/registry/pods/x"))
    with pytest.raises(ValueError, match="newer"):
        etcd_restore.parse_newer(Answer(0, "key a\n"))


def test_stale_leases_are_those_of_nobody():
    probe = etcd_restore.stale_leases([M1.address])
    said = "/registry/masterleases/10.1.1.101\n\n/registry/masterleases/10.1.1.102\n\n"
    assert probe.parse(Answer(0, said)) == ("/registry/masterleases/10.1.1.102",)


def test_the_restored_members_know_each_other_by_one_token():
    cluster = [NewMember("a", "https://1:2380"), NewMember("b", "https://2:2380")]
    command = etcd_restore.build(cluster[1], cluster, "restore-1", bump=True, skip_hash=False, size=1)
    assert "CLUSTER=a=https://1:2380,b=https://2:2380" in command.program
    assert "NAME=b\n" in command.program
    assert f"BUMP={etcd_restore.BUMP}" in command.program
    plain = etcd_restore.build(cluster[1], cluster, "restore-1", bump=False, skip_hash=True, size=1)
    assert "BUMP=''" in plain.program
    assert "SKIP=yes" in plain.program
    assert "--bump-revision" not in plain.shown


# ---- etcd and its flags


@pytest.mark.parametrize("plan_only", [True, False])
def test_an_etcd_that_does_not_know_its_flags_is_refused_before_anything_is_noted(plan_only: bool) -> None:
    ctx = restoring(site(), survivor=False)
    names = [step.name for step in steps.procedure(ctx)]
    assert names.index("every etcd takes the flags of its etcd.yaml") < names.index("note the restore, keep a copy of etcdutl")
    bad = etcd_flags.parse(recorded_answer("etcd/3.5.16-flags-of-kubeadm-1.36.3"))
    fine = etcd_flags.parse(recorded_answer("etcd/3.6.8-flags-of-kubeadm-1.36.3"))

    def read_all(probes: dict[Host, Any]) -> dict[Host, Any]:
        data = not any(probe.command.shown.startswith("etcd FLAGS") for probe in probes.values())
        return {host: host_data(host) if data else bad if host == M3 else fine for host in probes}

    run: Any = SimpleNamespace(plan=plan_only, read_all=read_all)
    step = starts(ctx)
    assert step.check
    with pytest.raises(
        PrecheckError, match=r"nothing was stopped, because etcd would not start again:\n       master3: etcd 3\.5\.16"
    ) as error:
        step.check(run)
    assert "master1" not in str(error.value)
    assert error.value.hint.startswith("on master3: in etcd.yaml, put an image that knows them")
