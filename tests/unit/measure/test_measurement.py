"""A measurement sees what a server does to its clients, and the checker is itself checked: each thing that can go wrong is made to."""

import asyncio
import json
import socket
import threading
import time
from pathlib import Path

import pytest

from runbooks.errors import PrecheckError
from runbooks.inventory.model import LabTwin
from runbooks.measure.record import read
from runbooks.measure.rules import objects
from runbooks.measure.rules.register import GONE
from runbooks.measure.rules.verdict import Verdict, data
from tests.support.api_server import VERSION, certificates, kubeconfig, serving

pytestmark = pytest.mark.unit

HELD = Verdict("held")
SHORT_S = 0.6  # where something is to hang, or never to be answered


def until(true, seconds=120.0):
    """Wait until something has happened; a busy machine takes its time."""

    async def wait():
        deadline = asyncio.get_running_loop().time() + seconds
        while not true():
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.01)

    return wait()


def more(server, **wanted):
    """Wait until the server has been asked so many times more with each of these methods."""
    before = len(server.asked)
    return until(
        lambda: all(sum(each.startswith(name) for each in server.asked[before:]) >= count for name, count in wanted.items())
    )


def at_that_time(gaps, moment):
    """Return the longest gap that was open then. A busy machine may make others."""
    return max((each for each in gaps if each.begin_s < moment < each.end_s), key=lambda each: each.ms)


def stored(objects_there):
    """Return what is stored: the number of the write, and when it was made."""
    (one,) = objects_there.values()
    return objects.parse(json.dumps(one).encode())[0]


def test_a_server_that_works(measured, api, plan):
    seen = measured(lambda: more(api, PUT=4), versions={"etcd": "3.6.8"})
    assert (seen.vip.failed, seen.reused.failed, seen.reused.cut, seen.watch.resumed) == (0, 0, 0, 0)
    assert seen.vip.requests >= 1
    assert 0 < seen.vip.median_ms <= seen.vip.p99_ms <= seen.vip.slowest_ms
    assert seen.watch.events == seen.data.acknowledged == seen.data.known > 3
    assert seen.data.final == {"VIP": seen.data.known}
    assert seen.complete
    assert data(seen) == HELD
    versions = {name: seen.versions[name] for name in ("kubernetes at the begin", "kubernetes at the end", "etcd")}
    assert versions == {"kubernetes at the begin": VERSION, "kubernetes at the end": VERSION, "etcd": "3.6.8"}
    assert (api.store.objects, api.store.spaces, seen.left) == ({}, set(), "")  # nothing stays in the cluster
    assert Path(plan.result).stat().st_mode & 0o777 == 0o600


def test_the_reused_connection_is_one(measured, nothing, api):
    """One for all writes and the reads after them, one for the watch; every other connection has one request."""
    accepted = []
    real = type(api).finish_request

    def counting(self, request, address):
        accepted.append(address)
        real(self, request, address)

    api.finish_request = lambda request, address: counting(api, request, address)
    seen = measured(nothing)
    besides = 2 + 1 + 1 + 1 + 2  # created, version at the begin, last read, version at the end, deleted
    assert len(accepted) == seen.vip.requests + 2 + besides


# ---- availability


def test_a_port_that_is_closed_for_a_while(measured, api, pki, plan):
    """Requests are refused and their retry too; connections are cut; when the port is back, everything goes on where it was."""

    async def during():
        api.shutdown()
        api.server_close()
        api.cut_all()
        await asyncio.sleep(0.7)
        times.append(time.time())
        again = serving(pki, api.store, api.port)
        back = again.__enter__()
        ended.append(again)
        await more(back, WATCH=1, GET=12, PUT=3)
        times.append(time.time())

    ended, times = [], []
    try:
        seen = measured(during)
    finally:
        ended[0].__exit__(None, None, None)
    reopened, served = times
    assert seen.vip.failed == seen.vip.reasons["refused"] + seen.vip.reasons.get("reset", 0) + seen.vip.reasons.get("closed", 0)
    assert 1 <= seen.vip.failed_after_retry <= seen.vip.failed
    longest = at_that_time(seen.vip.gaps, reopened)
    assert longest.ms > 500
    assert longest.end_s < served
    assert longest.reason in {"refused", "reset", "closed"}
    assert longest.ended
    assert seen.reused.cut >= 1
    silence = at_that_time(seen.reused.silences, reopened)
    assert silence.ms > 500
    assert silence.end_s < served
    assert seen.reused.longest_silence_ms >= silence.ms
    assert seen.watch.resumed >= 1
    assert seen.watch.longest_resume_ms > 500
    assert data(seen) == HELD  # not one acknowledged write was lost, and the watch left none out


def test_requests_that_hang_count_when_their_time_is_over(measured, api, plan):
    def counted():
        so_far = read(Path(plan.result))  # it is written every few seconds
        return so_far.vip.failed_after_retry > 0 and so_far.reused.hung >= 1

    async def during():
        api.hang = True
        await until(counted)
        api.hang = False
        await more(api, PUT=2)

    seen = measured(during, timeout_s=SHORT_S)
    assert seen.vip.reasons == {"hang": seen.vip.failed}
    assert seen.vip.failed > seen.vip.failed_after_retry > 0
    assert seen.vip.longest_gap_ms > SHORT_S * 1000
    assert seen.reused.hung >= 1
    assert seen.data.unknown + seen.reused.reasons["hang"] >= 1
    assert data(seen) == HELD


def test_single_requests_that_hang_beside_others_make_no_gap(measured, api):
    """The longest gap is for how long nobody was served; each that hangs has failed all the same."""
    real = api.finish_request
    lock, count, hung = threading.Lock(), [0], []
    hang_s = 3.0  # much longer than a busy machine takes for an answer

    def every_fourth(request, address):
        with lock:
            count[0] += 1
            mine = count[0] % 4 == 0 and len(api.asked) > 20
        if mine:
            hung.append(address)
            request.recv(0)
            threading.Event().wait(hang_s * 1.5)
        else:
            real(request, address)

    async def during():
        api.finish_request = every_fourth
        await until(lambda: len(hung) >= 2)
        api.finish_request = real
        await more(api, GET=4)

    seen = measured(during, timeout_s=hang_s)
    assert seen.vip.reasons["hang"] >= 1
    assert seen.vip.longest_gap_ms < hang_s * 1000 * 0.6 + seen.itself.longest_pause_ms


def test_a_status_that_is_no_success(measured, api):
    async def during():
        api.status = 503
        await more(api, GET=8, PUT=1)
        api.status = 0
        await more(api, GET=3, PUT=2)

    seen = measured(during)
    assert set(seen.vip.reasons) == {"HTTP 503"}
    assert seen.reused.reasons["HTTP 503"] >= 1
    assert seen.reused.cut == 0
    assert seen.data.unknown >= 1  # a 5xx does not say whether the write was made
    assert data(seen) == HELD


def test_too_many_requests_are_refused_writes(measured, api):
    async def during():
        api.status = 429
        await more(api, GET=8, PUT=1)
        api.status = 0

    seen = measured(during)
    assert seen.data.unknown == 0
    assert seen.data.refused >= 1


def test_connections_that_are_cut_in_place_of_an_answer(measured, api):
    async def during():
        api.cut = True
        await more(api, GET=6, PUT=1)
        api.cut = False
        await more(api, GET=3, PUT=2)

    seen = measured(during)
    assert seen.vip.failed >= 1
    assert set(seen.vip.reasons) <= {"closed", "reset"}
    assert seen.reused.cut >= 1
    assert data(seen) == HELD


@pytest.mark.usefixtures("last_reads_are_short")
def test_a_gap_that_does_not_end(measured, api):
    async def during():
        api.status = 500
        await more(api, GET=8)
        await asyncio.sleep(0.3)

    seen = measured(during)
    assert not seen.vip.gaps[-1].ended
    assert seen.vip.longest_gap_ms == seen.vip.gaps[-1].ms > 400
    assert seen.data.unread == {"VIP": "HTTP 500"}
    assert seen.left == "kubectl delete namespace measured --ignore-not-found"
    verdict = data(seen)
    assert verdict.word == "could not tell"
    assert "the last read through the VIP had no answer (HTTP 500)" in verdict.why


# ---- data


def test_an_acknowledged_write_that_is_dropped(measured, api):
    async def during():
        api.writes = "drop"
        await until(lambda: not api.writes)
        left.append((stored(api.store.objects), time.time()))
        await more(api, GET=6, PUT=4)

    left = []
    seen = measured(during)
    [(last, dropped_s)] = left
    [lost] = seen.data.lost
    assert (lost.writes, lost.found) == (1, lost.known - 1)
    assert lost.found == last.number
    assert 0 < lost.seconds < dropped_s - last.at_s
    verdict = data(seen)
    assert verdict.word == "violated"
    assert "1 acknowledged write of " in verdict.why[0]


@pytest.mark.usefixtures("last_reads_are_short")
def test_a_write_that_is_dropped_at_the_very_end(measured, api):
    """No later write finds it out: the last read does."""

    async def during():
        await asyncio.sleep(0.1)
        api.writes = "drop"
        await until(lambda: not api.writes)

    seen = measured(during)
    assert seen.data.final["VIP"] < seen.data.known or seen.data.lost
    assert data(seen).word == "violated"


def test_an_old_answer(measured, api):
    async def during():
        api.reads = "old"
        await more(api, GET=12, PUT=4)
        api.reads = ""

    seen = measured(during)
    assert seen.data.stale_reads >= 1
    assert {each.where for each in seen.data.stale} == {"VIP", "reused connection"}
    assert seen.data.lost == ()
    assert data(seen).word == "violated"


def test_one_server_behind_the_others(measured, api, pki):
    """It is asked directly, and named."""
    with serving(pki, api.store) as behind, serving(pki, api.store) as beside:

        async def during():
            behind.reads = "old"
            await asyncio.gather(more(behind, GET=8), more(beside, GET=4))
            behind.reads = ""

        seen = measured(during, servers={"master1": ("127.0.0.1", beside.port), "master2": ("127.0.0.1", behind.port)})
    assert {each.where for each in seen.data.stale} == {"master2"}
    assert seen.servers["master1"].requests > 3
    assert set(seen.data.final) == {"VIP", "master1", "master2"}
    assert data(seen).word == "violated"


@pytest.mark.usefixtures("last_reads_are_short")
def test_a_server_that_is_off_is_told_and_is_no_failure_of_the_vip(measured, api, nothing):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        seen = measured(nothing, servers={"master1": ("127.0.0.1", free.getsockname()[1])})
    assert (seen.vip.failed, seen.servers["master1"].failed) == (0, seen.servers["master1"].requests)
    assert seen.data.unread == {"master1": "refused"}
    assert data(seen) == HELD


def test_a_write_that_is_stored_after_its_acknowledgement(measured, api):
    async def during():
        api.writes = "late"
        await until(lambda: not api.writes)
        await more(api, GET=6, PUT=2)

    seen = measured(during)
    assert seen.data.stale_reads >= 1
    assert data(seen).word == "violated"


@pytest.mark.parametrize("how", ["cut", "late-cut", "none-cut"])
def test_a_write_without_an_answer_may_be_stored_now_later_or_never(measured, api, how):
    async def during():
        for _ in range(2):
            api.writes = how
            await until(lambda: not api.writes)
            await asyncio.sleep(0.5)

    seen = measured(during)
    assert seen.data.unknown == 2
    assert seen.reused.cut == 2
    assert data(seen) == HELD


def test_a_restore_that_loses_writes_by_design_is_told_in_writes_and_seconds(measured, api):
    async def during():
        copy = dict(api.store.objects)
        await more(api, PUT=5)
        with api.store.changed:  # no write comes between
            last.append(stored(api.store.objects))
            copy_of.append(stored(copy))
            api.store.restore(copy)
        await more(api, GET=6, PUT=4)

    copy_of, last = [], []
    seen = measured(during)
    [lost] = seen.data.lost
    assert (lost.found, lost.known) == (copy_of[0].number, last[0].number)
    assert lost.writes == pytest.approx(lost.known - lost.found, abs=1)
    assert lost.seconds == pytest.approx(last[0].at_s - copy_of[0].at_s, abs=0.002)
    assert data(seen).word == "violated"


def test_a_watch_of_a_version_that_is_still_to_come_begins_anew(measured, api):
    """After a restore the revisions go back, and a watch from the last one would be silent for as long."""

    async def during():
        copy, revision = dict(api.store.objects), api.store.revision
        api.store.revision = 5000
        await more(api, PUT=6)
        api.store.restore(copy, revision)
        api.cut_all()
        await until(lambda: [int(each.split()[1]) for each in api.asked if each.startswith("WATCH")][-1] in range(revision, 5000))

    seen = measured(during, timeout_s=SHORT_S)
    assert seen.watch.hung >= 1
    assert seen.watch.relisted == 1
    assert seen.watch.undelivered == 0


def test_an_object_that_is_gone_with_its_namespace(measured, api):
    async def during():
        api.store.spaces.clear()
        api.store.restore({})
        await more(api, POST=2)
        await more(api, GET=3, PUT=3)

    seen = measured(during)
    [lost] = seen.data.lost
    assert lost.found == GONE
    assert lost.writes > 1
    assert seen.data.final["VIP"] == seen.data.known  # it was made again, and the measurement went on
    assert data(seen).word == "violated"


# ---- the watch


@pytest.mark.parametrize(("how", "which"), [("skip", "missing"), ("repeat", "duplicates"), ("swap", "reordered")])
def test_a_watch_that_errs(measured, api, how, which):
    async def during():
        api.watches = how
        await until(lambda: not api.watches)
        await more(api, PUT=3)

    seen = measured(during)
    assert getattr(seen.watch, which) == 1
    assert data(seen).word == "violated"


def test_a_watch_that_ends_goes_on_where_it_was(measured, api):
    async def during():
        api.watches = "cut"
        await until(lambda: not api.watches)
        await more(api, PUT=3)

    seen = measured(during)
    assert (seen.watch.resumed, seen.watch.missing, seen.watch.duplicates) == (1, 0, 0)
    assert seen.watch.longest_resume_ms > 0
    assert data(seen) == HELD


def test_a_watch_that_cannot_go_on_leaves_a_question(measured, api):
    async def during():
        api.watches = "cut"
        await until(lambda: not api.watches)
        api.watches = "gone"
        await until(lambda: not api.watches)
        await more(api, PUT=3)

    seen = measured(during)
    assert seen.watch.relisted == 1
    assert seen.watch.reasons["ERROR 410"] == 1
    assert data(seen).word == "could not tell"


def test_a_silent_watch_is_given_up(measured, api):
    async def during():
        api.watches = "silent"
        await more(api, WATCH=1)
        api.watches = ""

    seen = measured(during, timeout_s=SHORT_S)
    assert seen.watch.hung >= 1
    assert seen.watch.longest_silence_ms > SHORT_S * 1000
    assert data(seen) == HELD


# ---- before it begins


def test_nothing_is_measured_when_the_server_says_no(measured, nothing, api, plan):
    api.status = 403
    with pytest.raises(PrecheckError, match=r"creating an object of ours through 127\.0\.0\.1:\d+ failed: HTTP 403"):
        measured(nothing)
    assert not Path(plan.result).exists()


def test_a_certificate_that_has_only_the_other_name_is_taken(measured, nothing):
    """As of a cluster that somebody else has built for the endpoint's name. "localhost" is not in the server's certificate."""
    found = measured(nothing, address="localhost", name_of_vip="127.0.0.1")
    assert (found.vip.failed, found.vip.requests > 0) == (0, True)


def test_a_server_of_another_ca_is_not_asked(measured, nothing, api, tmp_path, monkeypatch):
    certificates(tmp_path)
    monkeypatch.setattr("runbooks.measure.cluster.CREATE_S", 0.1)
    with pytest.raises(PrecheckError, match="failed: certificate"):
        measured(nothing, kubeconfig=kubeconfig(tmp_path))
    assert api.asked == []


@pytest.mark.parametrize("text", ["", "a: [", "clusters: []\nusers: []", "x"])
def test_a_kubeconfig_that_is_none(measured, nothing, text):
    with pytest.raises(PrecheckError, match="kubeconfig"):
        measured(nothing, kubeconfig=text)


@pytest.mark.parametrize("where", [{"example": True}, {"lab": LabTwin(namespace="ha-lab-none")}])
def test_the_guard_is_asked_before_each_connection(measured, nothing, api, where):
    """Neither the example site nor a lab from outside is ever connected to."""
    with pytest.raises(PrecheckError):
        measured(nothing, **where)
    assert api.asked == []
