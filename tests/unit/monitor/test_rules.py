"""The rules as data: every name that upstream has, commands that exist, durations, and what an expression reads."""

from __future__ import annotations

import re
from ipaddress import ip_address

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tasks
from runbooks.monitor import page
from runbooks.monitor.rule_file import rule_groups, words
from runbooks.monitor.rules.alert import span
from runbooks.monitor.rules.catalogue import alerts, groups
from runbooks.monitor.rules.promql import Series, normal, series
from runbooks.monitor.rules.scope import Scope
from runbooks.monitor.rules.targets import scrapes
from tests.support import fakes
from tests.unit.monitor.conftest import site

pytestmark = pytest.mark.unit
# https://github.com/etcd-io/etcd/tree/main/contrib/mixin
MIXIN = """
    etcdMembersDown etcdInsufficientMembers etcdNoLeader etcdHighNumberOfLeaderChanges etcdHighNumberOfFailedGRPCRequests etcdGRPCRequestsSlow
    etcdMemberCommunicationSlow etcdHighNumberOfFailedProposals etcdHighFsyncDurations etcdHighCommitDurations etcdDatabaseQuotaLowSpace
    etcdExcessiveDatabaseGrowth etcdDatabaseHighFragmentationRatio
"""


def test_etcds_own_set_is_complete(scope):
    assert {alert.name for group, alert in alerts(groups(scope)) if group.name == "etcd"} == set(MIXIN.split())


def test_rules_differ_in_name_or_labels(scope):
    keys = [alert.key for _, alert in alerts(groups(scope))]
    assert len(keys) == len(set(keys)) > 70


def test_several_rules_of_a_name_stand_together_and_the_last_is_the_gravest(scope):
    order = ["none", "info", "warning", "critical"]
    for group in groups(scope):
        names = [alert.name for alert in group.alerts]
        assert names == sorted(names, key=names.index), group.name
        for one, other in zip(group.alerts, group.alerts[1:], strict=False):
            assert one.name != other.name or order.index(one.severity) <= order.index(other.severity)


def test_every_command_exists_and_takes_its_flags(scope):
    for _, alert in alerts(groups(scope)):
        inv, name, *flags = alert.command.split()
        assert inv == "inv"
        arguments = {f"--{name.replace('_', '-')}" for argument in tasks.ns[name].get_arguments() for name in argument.names}
        assert set(flags) <= arguments, alert.command


def test_the_words_are_for_people_on_call(scope):
    for _, alert in alerts(groups(scope)):
        said = words(scope, alert)
        assert len(said["summary"]) <= 90, alert.name
        assert not said["summary"].endswith("."), alert.name
        assert said["description"].endswith("."), alert.name
        assert said["description"].count("{{") == said["description"].count("}}")


def test_only_what_cannot_wait_is_critical(scope):
    """People are woken up for these; a name that is added here is a decision."""
    critical = {alert.name for _, alert in alerts(groups(scope)) if alert.severity == "critical"}
    names = "VIPUnreachable VIPWithoutHolder VIPHeldTwice KeepalivedFault HAProxyDown HAProxyOneServerLeft HAProxyNoServer KubeAPIDown"
    names += " KubeAPIErrorBudgetBurn KubeClientCertificateExpiration etcdMembersDown etcdInsufficientMembers etcdNoLeader"
    names += " etcdHighNumberOfFailedGRPCRequests etcdGRPCRequestsSlow etcdHighFsyncDurations etcdDatabaseQuotaLowSpace KubeSchedulerDown"
    names += " KubeControllerManagerDown KubeletClientCertificateExpiration KubeletServerCertificateExpiration NodeFilesystemSpaceFillingUp"
    names += " NodeFilesystemAlmostOutOfSpace NodeFilesystemAlmostOutOfFiles CertificateEndsSoon BackupTooOld BackupMissing"
    assert critical == set(names.split())


# ---- other sites


def test_a_rehearsal_is_faster_but_a_rate_keeps_its_samples(scope):
    quick = Scope(scope.site, 1000)
    assert max(alert.for_s for _, alert in alerts(groups(quick))) <= 15
    ranges = {found for _, alert in alerts(groups(quick)) for found in re.findall(r"\[(\w+)\]", alert.expr)}
    assert ranges <= {"2m", "4m20s"}  # four scrapes of 30 s; three days divided by 1000


def test_ages_stay_as_they_are_in_a_rehearsal(scope):
    quick = {alert.key: alert.expr for _, alert in alerts(groups(Scope(scope.site, 1000)))}
    for _, alert in alerts(groups(scope)):
        if alert.name in {"BackupTooOld", "CertificateEndsSoon", "CertificatesUnread"}:
            assert quick[alert.key] == alert.expr


def test_backups_that_tell_nothing_have_no_alerts_that_would_always_fire():
    silent = fakes.site()
    assert "backups" not in [group.name for group in groups(Scope(silent))]
    assert "backups" in [group.name for group in groups(Scope(silent), promised=True)]
    assert "backups" not in [group.name for group in groups(Scope(msgspec.structs.replace(silent, backup=None)), promised=True)]


def test_differences_that_nobody_writes_have_no_alerts():
    assert "differences" not in [group.name for group in groups(Scope(site(differences=None)))]
    assert "differences" in [group.name for group in groups(Scope(site(differences=None)), promised=True)]


def test_an_external_etcd_is_left_to_whoever_manages_it():
    shipped = site()
    external = Scope(msgspec.structs.replace(shipped, kubernetes=msgspec.structs.replace(shipped.kubernetes, etcd="external")))
    assert "etcd" not in [group.name for group in groups(external)]
    assert "etcd" not in [scrape.job for scrape in scrapes(external)]


def test_a_job_of_somebody_else_has_no_label_of_the_site():
    """kube-prometheus scrapes the API server itself, as the job apiserver: its series know nothing of our site."""
    scope = Scope(site(jobs=("etcd", "haproxy")))
    assert scope.of("apiserver")("up") == 'up{job="apiserver"}'
    assert scope.of("etcd")("up", 'a="b"') == 'up{job="etcd",site="ha-cluster",a="b"}'
    assert scope.across("etcd", "kubelet")("up") == 'up{job=~"etcd|kubelet"}'


def test_a_host_is_known_by_its_name_and_address(scope):
    first = msgspec.structs.replace(scope.site.load_balancers[0], name="lb1.x", address=ip_address("fd00::11"))
    pattern = re.compile(scope.on(first).removeprefix('instance=~"').removesuffix('"').replace("[[]", r"\["))
    assert all(map(pattern.fullmatch, ("lb1.x", "lb1.x:9100", "[fd00::11]:9100")))
    assert not any(map(pattern.fullmatch, ("lb1-x", "lb1.x1", "[fd00::111]:9100")))


def test_a_host_that_two_jobs_scrape_counts_once(scope):
    assert scope.textfile("vrrp_master", 'a="b"') == 'ha_runbooks_vrrp_master{job="node-exporter",site="ha-cluster",a="b"}'
    assert Scope(site(jobs=("haproxy",))).textfile("vrrp_master") == 'ha_runbooks_vrrp_master{site="ha-cluster"}'


def test_the_age_of_backups_is_that_of_hosts_yaml(scope):
    backup = msgspec.structs.replace(scope.site.backup, max_age_h=50)
    found = groups(Scope(msgspec.structs.replace(scope.site, backup=backup)))
    assert [alert.expr.rpartition("> ")[2] for _, alert in alerts(found) if alert.name == "BackupTooOld"] == [
        "50 * 3600",
        "150 * 3600",
    ]


def test_every_rule_of_a_site_carries_its_name(scope):
    for group in rule_groups(scope, groups(scope)):
        assert {rule["labels"]["site"] for rule in group["rules"]} == {"ha-cluster"}


def test_links_lead_to_the_published_pages_or_name_the_file(scope):
    alert = next(alert for _, alert in alerts(groups(scope)) if alert.name == "KubeAPIDown")
    assert words(scope, alert)["runbook"] == "docs/runbooks/alerts.md#kubeapidown"
    published = Scope(site(runbooks="https://git.company.local/ha/"))
    assert words(published, alert)["runbook_url"] == "https://git.company.local/ha/alerts.md#kubeapidown"


def test_the_page_has_a_heading_for_every_link(scope):
    text = page.text(scope)
    headings = {line.removeprefix("### ").lower() for line in text.splitlines() if line.startswith("### ")}
    anchors = {words(scope, alert)["runbook"].partition("#")[2] for _, alert in alerts(groups(scope))}
    assert anchors == headings
    assert "{{" not in text


# ---- durations and expressions


@given(st.integers(1, 10**7))
def test_a_duration_comes_back(seconds):
    units = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
    assert sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)([dhms])", span(seconds))) == seconds


@pytest.mark.parametrize(
    ("expr", "found"),
    [
        ("vector(1)", []),
        ('time() - max by (site) (a{site="x"}) > 26 * 3600', [Series("a")]),
        ('absent(up{job="a"} == 1)', [Series("up", ("a",))]),
        ("sum without (x, y) (a) / on (b) group_left (c) d", [Series("a"), Series("d")]),
        ('a:b:rate5m{x="by (c)"} and on () (e offset 5m) unless bool', [Series("a:b:rate5m"), Series("e")]),
        ('{__name__=~"a|b",job="c"}', []),
        ('rate(x{job=~"a|b",le="+Inf"}[5m]) > 1e-3', [Series("x", ("a", "b"))]),
        ("predict_linear(m[4h], 14400) > -q", [Series("m"), Series("q")]),
    ],
)
def test_the_series_of_an_expression(expr, found):
    assert sorted(series(expr)) == found


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("sum by (a) (b) > 1", "sum by(a) (b) > 1"),
        ("a > 100 * 1024", "a > 100 * 1024"),
        ("a > 1048576", "a > 1.048576e+06"),
        ("a > 0.01", "a > 0.01"),
        ("a\n  and\nb", "a and b"),
        ('up{job="a",site=~"b|c"}', 'up{site=~"b|c", job="a"}'),
    ],
)
def test_the_same_expression_in_the_words_of_prometheus(ours, theirs):
    assert normal(ours) == normal(theirs)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("a > 1", "a > 2"), ("a[5m]", "a[10m]"), ('a{b="c d"}', 'a{b="cd"}'), ('a{b="c"}', 'a{b!="c"}'), ("a and b", "a or b")],
)
def test_another_expression(ours, theirs):
    assert normal(ours) != normal(theirs)


@given(st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S", "Zs"])))
def test_any_text_has_a_form(text):
    assert normal(text) == normal(f" {text} ")
