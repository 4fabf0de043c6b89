"""An upgrade to a version that no longer takes a flag: refused on the twin, or by what only the real hosts have."""

from __future__ import annotations

import io
import tarfile

import pytest

from rehearse import host_files
from rehearse.rules import host_settings, report
from rehearse.rules.outcome import Outcome, reason
from runbooks.backup.sets.opened import Opened
from runbooks.engine.tasks import Given
from runbooks.errors import OutcomeError, PrecheckError
from runbooks.rules.finding import at_least
from runbooks.rules.upgrade_standing import standing
from runbooks.upgrade import run as upgrade_run
from runbooks.upgrade.context import Upgrade
from runbooks.upgrade.forecast import Forecast
from runbooks.upgrade.rules import accepted
from runbooks.upgrade.rules.choices import Choices
from runbooks.upgrade.rules.status import seen
from tests.support.fakes import site
from tests.support.sets import CONTENT, NOON, put, store_in
from tests.unit.commands.test_kubelet_line import EXTRA, FLAGS_ENV
from tests.unit.upgrade import kept

pytestmark = pytest.mark.unit

DROP_IN = "/etc/systemd/system/kubelet.service.d/10-kubeadm.conf"
KUBEADMS = f"""[Service]
Environment="KUBELET_KUBECONFIG_ARGS=--kubeconfig=/etc/kubernetes/kubelet.conf"
EnvironmentFile=-{FLAGS_ENV}
EnvironmentFile=-{EXTRA}
ExecStart=
ExecStart=/usr/bin/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS
"""
OLD = {EXTRA: "KUBELET_EXTRA_ARGS=--register-schedulable=true --max-pods=80\n"}
MASTER = site().control_plane[0]
UP = Given("upgrade.run", ("--to", "1.34.9"))


def judged(files, given=UP, version="1.33.13"):
    return host_settings.findings(given, version, {MASTER: {DROP_IN: KUBEADMS, **files}})


def outcome(**given):
    base = {
        "id": "r",
        "site": "s",
        "command": "upgrade.run --to 1.34.9",
        "exited": 0,
        "origin": "o",
        "made": "2 h",
        "versions": "v",
    }
    return Outcome(**base | {"unmeasured": "no"} | given)


def test_a_flag_of_a_real_host_that_the_target_no_longer_takes_is_the_verdict():
    (found,) = judged(OLD)
    assert (found.severity, found.host) == ("fail", MASTER.name)
    assert f"kubelet: --register-schedulable ({EXTRA}): 1.34 no longer takes it" in found.seen
    stops = outcome(settings=(found,))
    assert (stops.exit_status, stops.verdict) == (3, "settings of the real hosts would stop it")
    assert stops.stopped == f"before its first step: {MASTER.name}"
    text = "\n".join(report.lines(stops))
    assert report.SETTINGS in text
    assert "--register-schedulable" in text
    assert report.page(stops, ["master1"], "").tone == "bad"


@pytest.mark.parametrize(
    ("files", "given", "version"),
    [
        (OLD, Given("upgrade.run", ("--to", "1.33.14")), "1.33.13"),  # not yet
        (OLD, Given("certs.renew"), "1.33.13"),
        ({EXTRA: "KUBELET_EXTRA_ARGS=--max-pods=80\n"}, UP, "1.33.13"),
        ({"/etc/sysconfig/kubelet": OLD[EXTRA]}, UP, "1.33.13"),  # the unit does not read it
        ({}, UP, "1.33.13"),
    ],
)
def test_what_the_target_takes_is_no_finding(files, given, version):
    assert judged(files, given, version) == []


def test_a_drop_in_of_the_owner_is_read_and_the_one_below_etc_is_stronger():
    vendors = "/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf"
    flag = KUBEADMS.replace("$KUBELET_EXTRA_ARGS", "$KUBELET_EXTRA_ARGS --register-schedulable")
    (found,) = judged({DROP_IN: flag})
    assert DROP_IN in found.seen
    assert judged({vendors: flag}) == []  # hidden by the file of that name below /etc


def test_what_kubeadm_writes_anew_is_left_to_the_twin():
    manifest = {"/etc/kubernetes/manifests/kube-apiserver.yaml": kept.manifest("kube-apiserver", "--cloud-config=/x")}
    assert judged(manifest) == []
    patch = {"/etc/kubernetes/patches/kubeletconfiguration.yaml": kept.KUBELET + "featureGates: {DevicePluginCDIDevices: true}\n"}
    assert [each.host for each in judged(patch)] == [MASTER.name]


def test_the_private_keys_of_the_archive_are_not_kept(tmp_path):
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for path, text in {
            EXTRA: OLD[EXTRA],
            "/etc/kubernetes/pki/ca.key": "secret",
            "/etc/kubernetes/admin.conf": "secret",
        }.items():
            info = tarfile.TarInfo(path.lstrip("/"))
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    store = store_in(tmp_path)
    opened = Opened(store.one(put(store, NOON, {**CONTENT, f"hosts/{MASTER}.tar.gz": archive.getvalue()})))
    assert host_files.of_set(opened, MASTER, host_settings.wanted) == OLD
    assert host_files.of_set(opened, site().control_plane[1], host_settings.wanted) is None


# ---- refused on the twin


def test_where_the_gate_of_the_upgrade_refuses_the_reason_is_in_the_report():
    """The flag is on the twin too: `upgrade.run` ends before its first step, as it would on the real site."""
    rows = accepted.findings(kept.facts(master1=kept.host(files=OLD)), (1, 33), (1, 34))
    versions = seen(site(), dict.fromkeys(site().nodes, OutcomeError("not read")), "not read")
    refused = Forecast(since=(1, 33, 13), target=(1, 34, 9), state=standing(versions), versions=versions, findings=tuple(rows))
    with pytest.raises(PrecheckError) as raised:
        upgrade_run.refuse(Upgrade(site(), (1, 34, 9), Choices(to=(1, 34, 9))), refused)
    assert at_least("fail", rows)
    said = f"what the plan found\nerror: {raised.value}\nnext:  {raised.value.hint}"
    found = outcome(exited=raised.value.exit_code, error=reason([], said))
    assert (found.exit_status, found.verdict, found.stopped) == (3, "it refuses to begin", "before its first step")
    assert found.error.startswith("error: no upgrade to 1.34.9 now:")
    assert f"--register-schedulable ({EXTRA}): 1.34 no longer takes it" in found.error
    assert "--register-schedulable" in "\n".join(report.lines(found))
