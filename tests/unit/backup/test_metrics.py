"""What an attempt leaves behind: its record, and metrics that node_exporter can read."""

import json
import re
import stat
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.backup.run import metrics as run_metrics
from runbooks.backup.run import prune
from runbooks.backup.run.metrics import Family, attempt, check, render, write
from runbooks.backup.run.new_set import NewSet
from runbooks.backup.run.procedure import back_up, shortcomings
from runbooks.errors import DegradedError, InventoryError, PrecheckError, RunbookError
from runbooks.inventory.settings import Keep
from tests.support.sets import NOON, damage, put, store_in

pytestmark = pytest.mark.unit

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
SAMPLE = re.compile(rf"({NAME})\{{(.*)\}} (\S+)")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\n"])*)"(?:,|$)')


def unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: {"n": "\n"}.get(found[1], found[1]), text)


def parse(text: str) -> dict[str, dict[frozenset[tuple[str, str]], float]]:
    """Read Prometheus' text format, strictly: per family one HELP, one TYPE, then its samples, and nothing else.

    https://prometheus.io/docs/instrumenting/exposition_formats/
    """
    assert text == "" or text.endswith("\n"), "the last line must end with a line feed"
    found: dict[str, dict[frozenset[tuple[str, str]], float]] = {}
    helped = typed = ""
    for line in text.split("\n")[:-1]:
        if line.startswith("# HELP "):
            _, _, helped, meaning = line.split(" ", 3)
            assert re.fullmatch(NAME, helped)
            assert helped not in found, "one HELP line per metric, and its samples together"
            assert meaning
            assert re.fullmatch(r"(?:[^\\]|\\[\\n])*", meaning)
        elif line.startswith("# TYPE "):
            _, _, typed, kind = line.split(" ")
            assert (typed, kind) == (helped, "gauge")
            assert typed not in found, "one TYPE line per metric, before its first sample"
            found[typed] = {}
        else:
            sample = SAMPLE.fullmatch(line)
            assert sample, line
            name, labels, value = sample.groups()
            assert name == typed == helped, "samples stand under their own TYPE line"
            pairs = LABEL.findall(labels)
            assert "".join(whole[0] for whole in LABEL.finditer(labels)) == labels
            key = frozenset((label, unescaped(content)) for label, content in pairs)
            assert len({label for label, _ in pairs}) == len(pairs)
            assert key not in found[name], "each sample once"
            found[name][key] = float(value)
    assert all(found.values())
    return found


@pytest.fixture
def store(tmp_path):
    (tmp_path / "textfile").mkdir()
    return store_in(tmp_path, Keep(last=1, daily=0, weekly=0, monthly=0), guarded=True, metrics=tmp_path / "textfile" / "b.prom")


def values(store) -> dict[str, float]:
    """The metrics by short name; the label ``site`` is on every one."""
    found = {}
    for name, samples in parse(store.backup.metrics.read_text()).items():
        for labels, value in samples.items():
            more = dict(labels)
            assert more.pop("site") == "ha-cluster"
            found[name.removeprefix("ha_runbooks_backup_") + "".join(more.values())] = value
    return found


def test_the_newest_good_set_counts_whatever_came_after_it(store):
    put(store, NOON - timedelta(days=2))
    put(store, NOON - timedelta(days=1), etcd={"cluster": "c1", "revision": 900, "members": ()})
    put(store, NOON, state="degraded")
    damage(store, put(store, NOON - timedelta(days=5)))
    write(store)
    assert values(store) == {
        "setsgood": 2,
        "setsdegraded": 1,
        "setsdamaged": 1,
        "last_success_timestamp_seconds": (NOON - timedelta(days=1)).timestamp() + 4.5,
        "last_success_duration_seconds": 4.5,
        "last_success_size_bytes": 5320,
        "last_success_revision": 900,
        "last_success_members": 1,
        "last_success_objects": 12,
    }


def test_without_sets_there_is_no_success_to_tell_of(store):
    write(store)
    assert values(store) == {"setsgood": 0, "setsdegraded": 0, "setsdamaged": 0}


def test_node_exporter_may_read_it_and_finds_nothing_else(store):
    write(store)
    (path,) = store.backup.metrics.parent.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_a_site_without_metrics_gets_none(tmp_path):
    write(store_in(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["sets"]


@given(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**60), 2**60),
)
def test_any_text_and_any_number_come_back_as_they_were(site, meaning, label, value):
    text = render([Family("x", meaning, {(("state", label),): value})], site)
    assert parse(text) == {"ha_runbooks_backup_x": {frozenset({("site", site), ("state", label)}): float(value)}}


# ---- attempts


def attempted(store) -> dict:
    return json.loads((store.directory / ".records" / "last-attempt.json").read_text())


def test_a_good_attempt(store, monkeypatch):
    monkeypatch.delenv("HA_BACKUP_BY", raising=False)
    before = datetime.now(UTC)
    with attempt(store):
        put(store, NOON)
    found = attempted(store)
    assert (found["exit"], found["error"], found["by"]) == (0, "", "hand")
    assert before <= datetime.fromisoformat(found["started"]) <= datetime.fromisoformat(found["ended"]) <= datetime.now(UTC)
    metrics = values(store)
    assert metrics["last_attempt_exit_code"] == 0
    assert metrics["last_attempt_timestamp_seconds"] == datetime.fromisoformat(found["ended"]).timestamp()
    assert metrics["setsgood"] == 1


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (DegradedError("it lacks something"), 5, "it lacks something"),
        (RunbookError("no snapshot of etcd"), 1, "no snapshot of etcd"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (ZeroDivisionError("a bug"), 1, "ZeroDivisionError('a bug')"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_attempt_that_fails_is_recorded_and_goes_on_failing(store, monkeypatch, error, code, said):
    monkeypatch.setenv("HA_BACKUP_BY", "cron")
    put(store, NOON)
    with pytest.raises(type(error)), attempt(store):
        raise error
    assert (attempted(store)["exit"], attempted(store)["error"], attempted(store)["by"]) == (code, said, "cron")
    assert values(store)["last_attempt_exit_code"] == code
    assert values(store)["last_success_timestamp_seconds"] == NOON.timestamp() + 4.5


def test_what_cannot_be_written_down_does_not_hide_the_outcome(store, capsys):
    store.backup.metrics.mkdir()
    (store.directory / ".records" / "last-attempt.json").mkdir()
    with attempt(store):
        pass
    with pytest.raises(DegradedError), attempt(store):
        raise DegradedError("it lacks something")
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("warning: this attempt could not be recorded") == 2
    assert said.err.count("warning: the metrics were not updated") == 2


def test_a_record_that_somebody_has_edited_is_no_attempt(store):
    store.record("last-attempt", ended="yesterday", exit="0")
    write(store)
    assert "last_attempt_exit_code" not in values(store)


# ---- inv backup.run, on a site whose hosts cannot be asked


def test_a_run_that_fails_leaves_word_and_prunes_nothing(store, opened):
    names = [put(store, NOON - timedelta(days=day)) for day in (0, 1)]
    with pytest.raises(RunbookError) as error:
        back_up(opened())
    assert attempted(store)["exit"] == error.value.exit_code
    assert attempted(store)["error"].startswith("ha-cluster is the example site")
    assert values(store)["last_attempt_exit_code"] == error.value.exit_code
    assert [each.id for each in store.sets()] == names, "although backup.keep wants only one"


def test_a_plan_is_no_attempt(store, opened):
    with pytest.raises(RunbookError, match="ha-cluster is the example site"):
        back_up(opened(plan=True))
    assert list((store.directory / ".records").iterdir()) == []
    assert not store.backup.metrics.exists()


def test_leaving_because_another_run_is_at_work_is_no_attempt(store, opened):
    with store.locked("inv backup.run"), pytest.raises(PrecheckError, match="has been running"):
        back_up(opened())
    assert list((store.directory / ".records").iterdir()) == []


def test_a_directory_for_metrics_that_is_not_there_ends_a_run_before_it_begins(store, opened, capsys):
    store.backup.metrics.parent.rmdir()
    for plan in (False, True):
        with pytest.raises(InventoryError, match=r"backup\.metrics: the directory .*/textfile does not exist"):
            back_up(opened(plan=plan))
    assert attempted(store)["exit"] == 2
    assert capsys.readouterr().err == "", "said once, by the command"
    with pytest.raises(InventoryError):
        check(store)


def test_pruning_writes_the_metrics_as_well(store, opened):
    for day in (0, 1, 2):
        put(store, NOON - timedelta(days=day))
    prune.prune(opened(plan=True))
    assert not store.backup.metrics.exists()
    prune.prune(opened())
    assert values(store)["setsgood"] == 1


def test_a_set_that_is_there_may_fall_short_in_two_ways(store):
    new_set = NewSet(store=store)
    new_set.problems["delete 20260101T000000Z"] = "Directory not empty"
    assert shortcomings(new_set) == "this failed afterwards:\n  delete 20260101T000000Z: Directory not empty"
    new_set.note_missing("lb2: files", "no answer")
    assert shortcomings(new_set) == (
        "it lacks:\n  lb2: files: no answer\nand this failed afterwards:\n  delete 20260101T000000Z: Directory not empty"
    )


def test_warnings_go_beside_what_is_printed(capsys):
    run_metrics.warn("something")
    assert capsys.readouterr() == ("", "warning: something\n")
