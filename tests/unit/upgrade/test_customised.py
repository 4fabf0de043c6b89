"""What was changed by hand and would vanish: by manifests that the real kubeadm has written."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.commands.rendered import Rendered, parse
from runbooks.commands.settings_look import MANIFESTS
from runbooks.rules.upgrade_seen import Seen
from runbooks.upgrade.forecast import Forecast
from runbooks.upgrade.plan import for_programs
from runbooks.upgrade.rules.customised import KUBELET_CONFIG, compared, judge, meaning
from tests.support.fakes import lost, master, site
from tests.support.recorded import recorded_answer
from tests.unit.upgrade import kept

pytestmark = pytest.mark.unit

M1, M2 = master(1), master(2)
WRITTEN = {version: parse(recorded_answer(f"kubernetes/{version}-manifests-rendered")) for version in ("1.20.3", "1.36.3")}
SERVER = f"{MANIFESTS}/kube-apiserver.yaml"
EVERY = [(version, name) for version, each in WRITTEN.items() for name in each.manifests]


def there(rendered, **edits):
    """A host that has what kubeadm has written, with some manifests edited."""
    files = {f"{MANIFESTS}/{name}.yaml": edits.get(name.replace("-", "_"), text) for name, text in rendered.manifests.items()}
    return replace(kept.host(), files=files)


def edited(text, old, new):
    assert old in text
    return text.replace(old, new, 1)


@pytest.mark.parametrize(("version", "name"), EVERY)
def test_what_kubeadm_has_written_is_the_same_but_for_the_tag_and_the_first_start(version, name):
    text = WRITTEN[version].manifests[name]
    assert compared(name, text, text) is None
    joined = text.replace(
        "    - --initial-cluster=", "    - --initial-cluster-state=existing\n    - --initial-cluster=a=https://b,"
    )
    assert compared(name, joined.replace(f":v{version}", ":v1.0.0").replace(":3.4.13-0", ":3.5.1-0"), text) is None


@pytest.mark.parametrize(("version", "name"), EVERY)
def test_each_line_that_is_changed_is_seen(version, name):
    text = WRITTEN[version].manifests[name]
    for old, new, gone in (
        (f"    - {name}\n", f"    - {name}\n    - --by-hand=1\n", "--by-hand=1"),
        ("failureThreshold: 8", "failureThreshold: 9", "livenessProbe.failureThreshold: 9"),
        ("hostNetwork: true", "hostNetwork: false", "spec.hostNetwork: false"),
        (f"/{name}:", f"/own-{name}:", "image: "),
    ):
        change = compared(name, edited(text, old, new), text)
        assert change
        assert [line for line in change.gone if line.startswith(gone)], change


def test_a_value_of_the_environment_is_not_shown():
    text = WRITTEN["1.36.3"].manifests["kube-apiserver"]
    secret = edited(text, "    imagePullPolicy", "    env:\n    - name: TOKEN\n      value: abc123\n    imagePullPolicy")
    change = compared("x", secret, text)
    assert change
    assert "abc123" not in change.diff
    other = compared("x", secret.replace("abc123", "other"), text)
    assert other != change


SECRET = "s3cr3t-abc123"
SECRETS = {
    "a header of a probe": (
        "      httpGet:\n",
        f"        httpHeaders:\n        - name: Authorization\n          value: Bearer {SECRET}\n",
    ),
    "the environment": ("    imagePullPolicy: IfNotPresent\n", f"    env:\n    - name: P\n      value: {SECRET}\n"),
    "an environment that is no list of names": ("    imagePullPolicy: IfNotPresent\n", f"    env: [P={SECRET}]\n"),
    "an init container": (
        "spec:\n",
        f"  initContainers:\n  - name: x\n    env:\n    - name: P\n      value: {SECRET}\n    args: [--token={SECRET}, --password, {SECRET}]\n",
    ),
    "a flag": ("    - kube-apiserver\n", f"    - --oidc-client-secret={SECRET}\n    - --client-key-data={SECRET}\n"),
    "a flag and its value": ("    - kube-apiserver\n", f"    - --db-password\n    - {SECRET}\n"),
    "a script": ("    - kube-apiserver\n", f"    - curl --token {SECRET} https://x\n"),
    "a header in a flag": ("    - kube-apiserver\n", f"    - --header=X-Auth-Token:{SECRET}\n"),
    "a URL": ("    - kube-apiserver\n", f"    - --audit-webhook=https://me:{SECRET}@host/\n"),
    "an exec hook": (
        "    imagePullPolicy: IfNotPresent\n",
        f"    lifecycle: {{postStart: {{exec: {{command: [x, --token, {SECRET}]}}}}}}\n",
    ),
    "a copy of the whole": (
        "  annotations:\n",
        f'    kubectl.kubernetes.io/last-applied-configuration: \'{{"value":"{SECRET}"}}\'\n',
    ),
}


@pytest.mark.parametrize("place", SECRETS)
def test_what_may_be_a_secret_is_in_no_output(place):
    written = WRITTEN["1.36.3"]
    text = written.manifests["kube-apiserver"]
    after, more = SECRETS[place]
    lines = edited(text, after, after + more)
    host = there(written, kube_apiserver=lines)
    found = judge({M1: host}, {M1: written}, None, (1, 36, 3))
    assert any("sha256" in line for change in found.changes for line in change.gone)
    forecast = Forecast(
        since=None, target=(1, 36, 3), state=None, versions=Seen(nodes=()), findings=found.findings, changes=found.changes
    )
    for output in (json.dumps(for_programs(forecast)), *(each.diff for each in found.changes), *map(str, found.findings)):
        assert SECRET not in output
    other = judge({M1: there(written, kube_apiserver=lines.replace(SECRET, "other"))}, {M1: written}, None, (1, 36, 3))
    assert other.changes.keys() != found.changes.keys()  # a change of it is seen


@given(st.text(max_size=200))
def test_any_text_in_the_place_of_a_manifest_is_told_and_never_an_error(text):
    change = compared("x", text, WRITTEN["1.20.3"].manifests["etcd"])
    assert change
    assert change.comes or change.gone


def test_a_hand_edited_manifest_is_told_once_for_all_hosts_that_have_it():
    written = WRITTEN["1.20.3"]
    text = edited(
        written.manifests["kube-apiserver"], "    - kube-apiserver\n", "    - kube-apiserver\n    - --profiling=false\n"
    )
    host = there(written, kube_apiserver=text)
    found = judge({M1: host, M2: host}, {M1: written, M2: written}, None, (1, 20, 3))
    (warned,) = found.findings
    assert (warned.severity, warned.host) == ("warn", "master1, master2")
    assert warned.seen == f"{SERVER}: 1 line would vanish: --profiling=false"
    assert "apiServer" in warned.fix
    ((change, hosts),) = found.changes.items()
    assert (hosts, change.diff.splitlines()[2:]) == ((M1, M2), ["---profiling=false"])


def test_hosts_that_are_as_kubeadm_makes_them():
    written = WRITTEN["1.20.3"]
    (good,) = judge({M1: there(written)}, {M1: written}, None, (1, 20, 3)).findings
    assert good.severity == "ok"


def test_a_kubeadm_of_another_minor_version_makes_differences_of_its_own():
    old, new = WRITTEN["1.20.3"], WRITTEN["1.36.3"]
    found = judge({M1: there(old)}, {M1: new}, None, (1, 20, 3)).findings
    assert {each.severity for each in found} == {"note"}
    assert all("1.36.3" in each.why for each in found if "would vanish" in each.seen)


def test_what_could_not_be_compared_is_never_ok():
    found = judge(
        {M1: there(WRITTEN["1.20.3"])}, {M1: Rendered("", {}, "kubeadm-config: refused"), M2: lost(M2)}, None, None
    ).findings
    assert [(each.severity, each.host) for each in found] == [("warn", "master1"), ("fail", "master2")]


def test_the_kubelets_configuration_against_its_config_map():
    worker = site().host("worker1")
    cluster = kept.cluster(kubelet="maxPods: 110\nclusterDNS: [10.96.0.10]\n", kubelet_map="kubelet-config-1.20")
    files = {KUBELET_CONFIG: "maxPods: 250\nclusterDNS: [10.96.0.10]\nresolvConf: /run/x\n"}
    found = judge({worker: replace(kept.host(master=False), files=files)}, {}, cluster, None)
    (warned,) = found.findings
    assert warned.seen == f"{KUBELET_CONFIG}: 1 line would vanish: maxPods: 250; instead: maxPods: 110"
    assert "kubelet-config-1.20" in warned.fix


@pytest.mark.parametrize(
    ("map_", "version", "patched"),
    [
        ("kubelet-config", (1, 25, 0), True),
        ("kubelet-config", None, True),
        ("kubelet-config", (1, 24, 9), False),
        ("kubelet-config-1.20", None, False),
    ],
)
def test_the_kubelets_configuration_has_the_patches_of_its_host_from_1_25_on(map_, version, patched):
    worker = site().host("worker1")
    patches = {
        "/etc/kubernetes/patches/kubeletconfiguration-ha-runbooks-host+merge.yaml": "maxPods: 50\n",
        "/etc/kubernetes/patches/kubeletconfiguration.yaml": "podPidsLimit: 0x9\n",  # of somebody else; it is applied after ours
        "/etc/kubernetes/patches/kube-scheduler.yaml": "maxPods: 1\n",
    }
    cluster = kept.cluster(kubelet="maxPods: 110\n", kubelet_map=map_)

    def gone(text):
        host = replace(kept.host(master=False), files={KUBELET_CONFIG: text, **patches})
        return [line for each in judge({worker: host}, {}, cluster, version).changes for line in each.gone]

    assert gone("maxPods: 50\npodPidsLimit: 9\n") == ([] if patched else ["maxPods: 50", "podPidsLimit: 9"])
    assert gone("maxPods: 110\n") == (["maxPods: 110"] if patched else [])


def test_meaning_has_no_order():
    text = WRITTEN["1.36.3"].manifests["etcd"]
    lines = text.splitlines()
    flags = [line for line in lines if line.startswith("    - --")]
    swapped = [flags[-1 - flags.index(line)] if line in flags else line for line in lines]
    assert sorted(meaning("\n".join(swapped))) == sorted(meaning(text))
