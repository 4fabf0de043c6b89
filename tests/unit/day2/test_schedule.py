"""Whether this machine makes backups when hosts.yaml says so, and how many differences Prometheus is told of."""

from __future__ import annotations

from pathlib import Path

import pytest

from runbooks.backup.rules import schedules
from runbooks.backup.rules.schedules import Entry
from runbooks.backup.schedule import cron, local
from runbooks.day2 import diff_metrics
from runbooks.day2.diff_schedule import of_schedule
from runbooks.day2.rules.difference import TOPICS, Difference, Unread
from runbooks.engine.session import Options, Session
from runbooks.errors import InventoryError
from tests.support import ROOT
from tests.support.exposition import parse

pytestmark = pytest.mark.unit

AT = "17 2 * * *"


@pytest.fixture
def session(tmp_path, monkeypatch):
    """A site that wants a backup at night, on a machine whose cron daemon runs and whose only crontab is a directory of the test."""
    monkeypatch.setattr(schedules, "CRON_D", str(tmp_path))
    monkeypatch.setattr(cron, "read", lambda: "")
    monkeypatch.setattr(cron, "problem", lambda: "")

    def made(**keys: str) -> Session:
        text = (ROOT / "hosts.yaml").read_text().replace("example: true\n", "")
        lines = "".join(f'  {key}: "{value}"\n' for key, value in keys.items())
        path = tmp_path / "hosts.yaml"
        path.write_text(text.replace("\nbackup:\n", f"\nbackup:\n{lines}"))
        monkeypatch.setenv("RUNBOOKS_SITE", str(path))
        return Session(Options())

    return made


def placed(session: Session, at: str) -> None:
    """Put down the file of cron that `inv backup.schedule --host` writes on a host."""
    entry = Entry(session.site.name, local.site_file(session), at, "3h", "2026-01-01T00:00:00+00:00", str(ROOT))
    Path(schedules.CRON_D, f"ha-runbooks-{session.site.name}").write_text(schedules.cron_file(entry).content)


def test_without_the_key_nothing_is_said_of_schedules(session):
    assert of_schedule(session()) == []


def test_a_schedule_that_is_not_there(session):
    found = of_schedule(session(schedule=AT))
    assert found == [Difference("schedules", key="backups", there=None, wanted=AT, fix="inv backup.schedule")]


def test_the_same_time_in_other_words_is_no_difference(session):
    wanted = session(schedule="0 0 * * *")
    placed(wanted, "@daily")
    assert of_schedule(wanted) == []


def test_another_time_is_named_with_its_place(session):
    wanted = session(schedule=AT)
    placed(wanted, "0 4 * * *")
    (found,) = of_schedule(wanted)
    assert found.there == f"0 4 * * * ({schedules.CRON_D}/ha-runbooks-{wanted.site.name})"
    assert found.wanted == AT


def test_a_daemon_that_does_not_run_is_a_difference(session, monkeypatch):
    wanted = session(schedule=AT)
    placed(wanted, AT)
    monkeypatch.setattr(cron, "problem", lambda: "no cron daemon runs on this machine")
    (found,) = of_schedule(wanted)
    assert "no cron daemon runs" in found.why


def test_the_fix_ends_the_difference_also_where_a_host_was_given_the_schedule(session, monkeypatch):
    """Else two of them would run from then on."""
    wanted = session(schedule=AT)
    placed(wanted, "0 4 * * *")
    titles = [step.title for step in local.scheduled(wanted.site, local.new_entry(wanted, "", "3h"), timer=False).steps]
    assert titles[-1] == f"remove {schedules.CRON_D}/ha-runbooks-{wanted.site.name}"


def test_times_that_never_come_are_named_with_their_key(session):
    with pytest.raises(InventoryError, match=r"backup\.schedule '0 0 31 2 \*': no such day ever comes"):
        of_schedule(session(schedule="0 0 31 2 *"))


def test_the_schedule_of_hosts_yaml_is_taken_when_none_is_said(session):
    assert local.new_entry(session(schedule=AT), "", "3h").at == AT
    assert local.new_entry(session(schedule=AT), "@daily", "3h").at == "@daily"
    with pytest.raises(InventoryError, match="no time is given"):
        local.new_entry(session(), "", "3h")


# ---- what Prometheus is told


def test_every_topic_has_a_sample_also_with_nothing_to_say():
    """A series that comes and goes would leave an alert that never clears."""
    found = diff_metrics.families([Difference("lb", key="a"), Difference("lb", key="b")], [Unread("nodes", "", "off")], 5.0)
    counts, left, when = found
    assert counts.samples == {(("topic", topic),): 2.0 if topic == "lb" else 0.0 for topic in TOPICS}
    assert left.samples == {(("topic", topic),): 1.0 if topic == "nodes" else 0.0 for topic in TOPICS}
    assert when.samples == {(): 5.0}


def test_the_file_is_written_and_a_directory_that_is_gone_is_a_warning(session, tmp_path, capsys):
    path = tmp_path / "hosts.yaml"
    told = session()
    path.write_text(f"{path.read_text()}\nmonitoring: {{differences: {tmp_path}/text/diff.prom}}\n")
    told = Session(Options())
    diff_metrics.tell(told, [], [])
    assert "warning: monitoring.differences was not updated" in capsys.readouterr().err
    (tmp_path / "text").mkdir()
    diff_metrics.tell(told, [Difference("nodes", key="label disk")], [])
    file = tmp_path / "text" / "diff.prom"
    assert file.stat().st_mode & 0o777 == 0o644
    samples = parse(file.read_text())
    assert samples is not None
    assert f'ha_runbooks_site_differences{{site="{told.site.name}",topic="nodes"}} 1.0' in file.read_text()
