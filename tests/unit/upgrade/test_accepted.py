"""What the target no longer accepts, judged from whole hosts and a whole cluster."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.commands.settings_look import MANIFESTS, UNIT
from runbooks.errors import PrecheckError, UnreachableError
from runbooks.rules.finding import at_least, shown
from runbooks.upgrade.rules import accepted
from runbooks.upgrade.rules.accepted import Facts, findings
from runbooks.upgrade.rules.tables import LAST
from tests.support.fakes import bash, master, site
from tests.unit.commands.test_kubelet_line import DROP_IN, EXTRA, FLAGS_ENV
from tests.unit.commands.test_kubelet_line import UNIT as DEFAULT_UNIT
from tests.unit.upgrade.kept import CONFIG, KUBELET, MASTER_FILES, PROXY, cluster, facts, host, manifest

pytestmark = pytest.mark.unit


def judged(kept, now, target):
    """(severity, host, seen) of what is not ok, without notes."""
    return [(each.severity, each.host, each.seen) for each in at_least("warn", findings(kept, (1, now), (1, target)))]


def one(kept, now, target):
    """The only finding that is more than a note."""
    found = at_least("warn", findings(kept, (1, now), (1, target)))
    assert len(found) == 1, shown(found)
    return found[0]


def flags_env(text):
    return facts(worker1=host(master=False, files={FLAGS_ENV: f'KUBELET_KUBEADM_ARGS="{text}"\n'}))


def extra(text):
    return facts(worker1=host(master=False, files={EXTRA: f"KUBELET_EXTRA_ARGS={text}\n"}))


# ---- a cluster as kubeadm makes it


@pytest.mark.parametrize(("now", "target"), [(33, 34), (34, 35), (35, 36), (36, 37), (36, 36), (30, 37)])
def test_a_cluster_of_kubeadm_is_accepted(now, target):
    found = findings(facts(), (1, now), (1, target))
    assert at_least("warn", found) == []
    (fine,) = [each.seen for each in found if each.severity == "ok"]
    assert re.fullmatch(rf"\d+ settings of {len(site().nodes)} hosts and of the cluster: 1.{target} takes them", fine)


def test_a_version_beyond_the_tables_is_a_finding():
    after = (1, LAST[1] + 1)
    assert [each.severity for each in at_least("warn", findings(facts(), LAST, after))] == ["warn"]


# ---- the kubelet


def test_a_flag_in_etc_default_is_named_with_file_version_and_the_line_that_mends_it():
    found = one(extra("--v=2 --pod-infra-container-image=registry.k8s.io/pause:3.9"), 34, 35)
    assert (found.severity, found.host) == ("fail", "worker1")
    assert found.seen == f"kubelet: --pod-infra-container-image ({EXTRA}): 1.35 no longer takes it"
    assert found.fix.startswith("sed -i -E ")
    assert found.fix.endswith(f" {EXTRA} # instead: containerd has the pause image in its own configuration")
    assert judged(extra("--pod-infra-container-image=x"), 33, 34) == []


def test_what_kubeadm_takes_out_itself_is_only_a_note():
    kept = flags_env("--node-ip=192.0.2.1 --pod-infra-container-image=registry.k8s.io/pause:3.9")
    assert judged(kept, 34, 36) == []
    notes = [each for each in findings(kept, (1, 34), (1, 35)) if each.severity == "note"]
    assert [(each.host, each.why, each.fix) for each in notes] == [("worker1", "kubeadm 1.35 takes it out itself", "")]
    # A kubeadm after that one does not take it out again.
    assert [severity for severity, *_ in judged(kept, 35, 36)] == ["fail"]
    assert [severity for severity, *_ in judged(flags_env("--cloud-config=/x"), 33, 34)] == ["fail"]


def test_every_hop_is_judged_and_the_first_version_that_refuses_is_named():
    assert judged(extra("--container-runtime=docker"), 23, 27)[0][2] == (
        f"kubelet: --container-runtime=docker ({EXTRA}): 1.24 no longer takes it"
    )
    assert "1.27 no longer takes it" in judged(extra("--container-runtime=remote"), 23, 27)[0][2]
    gate = extra("--feature-gates=APIListChunking=false")
    assert f"feature gate APIListChunking=false ({EXTRA}): 1.29 takes only true" in one(gate, 28, 34).seen
    assert one(gate, 28, 34).fix == f"in {EXTRA}, take APIListChunking out of --feature-gates"
    assert one(gate, 28, 32).fix == f"in {EXTRA}, set APIListChunking to true in --feature-gates, or take it out"
    gate = extra("--feature-gates=APIListChunking=true")
    assert f"feature gate APIListChunking ({EXTRA}): 1.33 no longer takes it" in one(gate, 28, 34).seen
    assert judged(gate, 28, 32) == []


def test_what_the_next_version_refuses_is_a_note_with_the_line_that_mends_it():
    (note,) = [each for each in findings(extra("--cloud-config=/x"), (1, 32), (1, 33)) if each.severity == "note"]
    assert note.seen == f"kubelet: --cloud-config ({EXTRA}): 1.34 no longer takes it, which is the next one"
    assert note.fix.startswith("sed ")
    assert [each.severity for each in findings(extra("--cloud-config=/x"), (1, 31), (1, 32))] == ["ok"]
    etcd = cluster(args={"etcd": (("experimental-memory-mlock", "true"),)})
    assert [each.severity for each in findings(facts(etcd), (1, 32), (1, 33))] == ["ok"]
    (note,) = [each for each in findings(facts(etcd), (1, 33), (1, 34)) if each.severity == "note"]
    assert "etcd 3.7 no longer takes it, which is the next one" in note.seen


def test_an_in_tree_cloud_provider_is_refused_by_value():
    assert "--cloud-provider=aws" in one(extra("--cloud-provider=aws"), 26, 27).seen
    assert judged(extra("--cloud-provider=external"), 26, 36) == []


def test_flags_of_the_unit_itself_and_with_underscores_are_seen():
    unit = DEFAULT_UNIT.replace("$KUBELET_EXTRA_ARGS", "--register_schedulable=false")
    found = one(facts(worker1=host(master=False, unit=unit, running=())), 33, 34)
    assert f"--register-schedulable ({DROP_IN})" in found.seen


def test_what_is_only_known_from_documents_says_so():
    assert one(extra("--machine-id-file=/x"), 36, 37).seen.endswith("1.37 no longer takes it (by its documents)")


def test_the_configuration_of_kubelets_counts_in_the_cluster():
    gates = f"{KUBELET}featureGates: {{NodeSwap: true, SizeMemoryBackedVolumes: true}}\n"
    hosts = {each.name: host(master=each.is_control_plane, files={CONFIG: gates}) for each in site().nodes}
    found = one(facts(cluster(kubelet=gates), **hosts), 34, 35)
    assert found.host == ""
    assert found.seen == "kubelet: feature gate SizeMemoryBackedVolumes (ConfigMap kubelet-config): 1.35 no longer takes it"
    assert found.fix == (
        "kubectl -n kube-system edit configmap kubelet-config: take SizeMemoryBackedVolumes out of featureGates"
        "; the same in hosts.yaml, kubernetes.kubelet, if it is there"
    )


def test_a_hosts_own_copy_is_written_anew_and_its_drop_in_is_not():
    gates = f"{KUBELET}featureGates: {{SizeMemoryBackedVolumes: true}}\n"
    assert judged(facts(worker1=host(master=False, files={CONFIG: gates})), 34, 35) == []
    drop_in = {EXTRA: "KUBELET_EXTRA_ARGS=--config-dir=/etc/kubelet.d\n", "/etc/kubelet.d/a.conf": gates}
    found = one(facts(worker1=host(master=False, files=drop_in)), 34, 35)
    assert found.fix == "in /etc/kubelet.d/a.conf, take SizeMemoryBackedVolumes out of featureGates"


# ---- the control plane


def test_flags_of_kubeadm_config_are_named_once_and_those_only_in_manifests_are_notes():
    args = {"kube-apiserver": (("cloud-provider", "external"), ("feature-gates", "A=true,APIListChunking=true"))}
    there = manifest("kube-apiserver", "--cloud-provider=external", "--cloud-config=/x")
    masters = {each.name: host(files={f"{MANIFESTS}/kube-apiserver.yaml": there}) for each in site().control_plane}
    found = findings(facts(cluster(args=args), **masters), (1, 32), (1, 33))
    assert [(each.severity, each.host) for each in at_least("warn", found)] == [("fail", ""), ("fail", "")]
    provider, gate = at_least("warn", found)
    assert provider.seen == (
        "kube-apiserver: --cloud-provider (ConfigMap kubeadm-config, apiServer.extraArgs): 1.33 no longer takes it"
    )
    assert provider.fix == (
        "kubectl -n kube-system edit configmap kubeadm-config: take cloud-provider out of apiServer.extraArgs"
        " (instead: the cloud controller manager has these settings)"
        "; the same in hosts.yaml, kubernetes.extra_args.api_server, if it is there"
    )
    assert "take APIListChunking out of feature-gates in apiServer.extraArgs" in gate.fix
    notes = [each for each in found if each.severity == "note"]
    assert {each.host for each in notes} == {each.name for each in site().control_plane}
    assert all("--cloud-config" in each.seen and each.fix == "" for each in notes)


def test_an_admission_plugin_that_is_gone_is_named():
    args = {"kube-apiserver": (("enable-admission-plugins", "NodeRestriction,PodSecurityPolicy"),)}
    found = one(facts(cluster(args=args)), 24, 25)
    assert "--enable-admission-plugins=PodSecurityPolicy" in found.seen
    assert "take PodSecurityPolicy out of enable-admission-plugins in apiServer.extraArgs" in found.fix


def test_an_api_version_that_is_switched_on_and_gone_is_named():
    args = {"kube-apiserver": (("runtime-config", "api/all=true,resource.k8s.io/v1alpha2=true"),)}
    assert "--runtime-config=resource.k8s.io/v1alpha2" in one(facts(cluster(args=args)), 30, 31).seen
    assert judged(facts(cluster(args=args)), 29, 30) == []


def test_a_pod_of_a_manifest_that_kubeadm_does_not_write_is_judged():
    old = {f"{MANIFESTS}/kube-apiserver.yaml.bak": manifest("kube-apiserver", "--cloud-config=/x")}
    found = one(facts(master1=host(files=old)), 32, 33)
    assert (found.host, found.severity) == ("master1", "fail")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("kube-apiserver0+json.yaml", "- op: add\n  path: /spec/containers/0/command/-\n  value: --cloud-config=/x\n"),
        ("kube-apiserver+merge.json", '{"spec": {"containers": [{"command": ["kube-apiserver", "--cloud-config=/x"]}]}}'),
    ],
)
def test_patches_for_kubeadm_are_judged(name, text):
    found = one(facts(master1=host(files={f"/etc/kubernetes/patches/{name}": text})), 32, 33)
    assert (found.severity, found.why) == ("fail", "kubeadm puts it back: the upgrade is given these patches")


def test_configuration_files_of_other_components_are_judged_by_api_version():
    path = "/etc/kubernetes/scheduler.yaml"
    files = {
        f"{MANIFESTS}/kube-scheduler.yaml": manifest("kube-scheduler", f"--config={path}"),
        path: "apiVersion: kubescheduler.config.k8s.io/v1beta3\nkind: KubeSchedulerConfiguration\n",
    }
    found = one(facts(master2=host(files=files)), 28, 29)
    assert found.seen == f"kube-scheduler: kubescheduler.config.k8s.io/v1beta3 ({path}): 1.29 no longer takes it"
    assert found.fix == f"in {path}, write it in apiVersion: kubescheduler.config.k8s.io/v1"
    del files[path]
    assert "its API version is not known" in one(facts(master2=host(files=files, missing=(path,))), 28, 29).seen


def test_etcd_is_judged_by_the_etcd_that_comes_with_the_target():
    kept = cluster(args={"etcd": (("experimental-compaction-batch-limit", "9"),)})
    assert judged(facts(kept), 33, 34) == []
    found = one(facts(kept), 36, 37)
    assert found.seen.endswith("(ConfigMap kubeadm-config, etcd.local.extraArgs): etcd 3.7 no longer takes it")
    assert "(instead: --compaction-batch-limit)" in found.fix
    assert judged(facts(replace(kept, etcd_tag="3.6.8-0")), 36, 37) == []
    assert one(facts(replace(kept, etcd_tag="3.7.1-0")), 35, 36)
    assert one(facts(replace(kept, etcd_tag="ours")), 35, 36)  # nobody knows which one that is


def test_kubeadms_own_gates_are_a_warning_and_its_format_matters_for_the_first_hop():
    found = one(facts(cluster(gates={"EtcdLearnerMode": "true"})), 32, 33)
    assert (found.severity, found.host) == ("warn", "")
    assert judged(facts(cluster(gates={"EtcdLearnerMode": "true"})), 31, 32) == []
    assert (
        judged(facts(cluster(gates={"ControlPlaneKubeletLocalMode": "false"})), 34, 35) == []
    )  # only kubeadm's flag looks at locks
    old = facts(cluster(api="kubeadm.k8s.io/v1beta3"))
    assert judged(old, 30, 37) == []  # 1.31 writes it in v1beta4
    assert one(old, 36, 37).fix.startswith("kubeadm config migrate")


# ---- kube-proxy, cgroups, containerd


def test_kube_proxy_in_old_modes():
    assert [severity for severity, *_ in judged(facts(cluster(proxy=PROXY.replace("''", "ipvs"))), 34, 35)] == ["warn"]
    assert judged(facts(cluster(proxy=PROXY.replace("''", "ipvs"))), 33, 34) == []
    assert judged(facts(cluster(proxy="")), 34, 35) == []
    assert one(facts(cluster(proxy=PROXY.replace("''", "userspace"))), 25, 26).severity == "fail"
    old = one(facts(cluster(proxy=f"{PROXY}udpIdleTimeout: 250ms\n")), 25, 26)
    assert (old.severity, old.host) == ("warn", "")
    words = ("/usr/local/bin/kube-proxy", "--config=/a", "--udp-timeout=1s")
    assert judged(facts(cluster(proxy_words=words)), 25, 26) == []  # kubeadm writes the DaemonSet anew


def test_cgroup_v1():
    kept = facts(worker2=host(master=False, cgroup="v1"))
    assert judged(kept, 33, 34) == []
    found = one(kept, 34, 35)
    assert (found.severity, found.topic, found.host) == ("fail", "cgroup", "worker2")
    told = replace(kept, cluster=cluster(kubelet=f"{KUBELET}failCgroupV1: false\n"))
    assert one(told, 34, 35).severity == "warn"
    assert one(facts(worker2=host(master=False, cgroup="")), 34, 35).seen == "which cgroups the host has is not known"


@pytest.mark.parametrize(
    ("version", "file", "target", "severity"),
    [
        ("1.6.20~ds1", 2, 26, ""),
        ("1.5.9", 2, 26, "fail"),
        ("1.5.9", 2, 25, ""),
        ("1.7.24", 2, 35, ""),
        ("1.7.24", 2, 36, "warn"),
        ("1.7.24", 3, 34, "fail"),
        ("2.1.9", 2, 37, ""),
        ("2.1.9", 3, 37, ""),
        ("", 0, 34, "fail"),
    ],
)
def test_containerd(version, file, target, severity):
    kept = facts(worker2=host(master=False, containerd=version, containerd_config=file))
    assert [found for found, *_ in judged(kept, target - 1, target)] == ([severity] if severity else [])


# ---- what is not known


def test_a_host_that_cannot_be_read_is_a_failure():
    kept = facts()
    lost = Facts({**kept.hosts, master(1): UnreachableError("no answer")}, kept.cluster)
    found = one(lost, 34, 35)
    assert (found.severity, found.host) == ("fail", "master1")


def test_a_cluster_that_cannot_be_read_is_a_failure_and_manifests_count_then():
    kept = Facts(facts().hosts, PrecheckError("no API server answers", hint="inv cluster.status"))
    assert one(kept, 34, 35).fix == "inv cluster.status"
    there = host(files={f"{MANIFESTS}/kube-apiserver.yaml": manifest("kube-apiserver", "--cloud-config=/x")})
    assert len(judged(Facts({**kept.hosts, master(1): there}, kept.cluster), 32, 33)) == 2


@pytest.mark.parametrize(
    ("changes", "seen"),
    [
        (
            {"unit": "", "running": (), "unread": {UNIT: "no such unit"}},
            "what the kubelet is started with is not known: no such unit",
        ),
        ({"unit": "# /a.service\n[Service]\nExecStart=/bin/sh x\n", "running": ()}, "starts /bin/sh, not the kubelet itself"),
        ({"unread": {"/etc/kubernetes/manifests/a.yaml": "it has 9 bytes"}}, "a.yaml: it has 9 bytes"),
        ({"files": {"/etc/kubernetes/manifests/a.yaml": "a: ["}}, "a.yaml: it is not YAML"),
        ({"missing": (CONFIG,)}, f"{CONFIG}: the kubelet is told to read it, and it is not there"),
        (
            {"unit": DEFAULT_UNIT.replace("=-/etc/default/kubelet", "=/etc/none")},
            "/etc/none: the unit needs it, and it is not there",
        ),
    ],
)
def test_what_could_not_be_read_on_a_host_is_a_failure(changes, seen):
    found = one(facts(worker3=host(master=False, **changes)), 34, 35)
    assert (found.severity, found.host) == ("fail", "worker3")
    assert seen in found.seen
    assert found.fix


def test_a_control_plane_host_without_a_manifest_is_a_failure():
    seen = host()
    files = {path: text for path, text in seen.files.items() if not path.endswith("etcd.yaml")}
    assert one(facts(master3=replace(seen, files=files)), 34, 35).seen.endswith("no manifest of etcd was read")
    assert (
        judged(
            facts(cluster(external_etcd=True), **{each.name: replace(seen, files=files) for each in site().control_plane}), 34, 35
        )
        == []
    )


def test_when_the_unit_is_not_understood_the_process_is_judged():
    unit = "# /a.service\n[Service]\nExecStart=/bin/sh -c 'exec kubelet'\n"
    seen = host(master=False, unit=unit, running=("/usr/bin/kubelet", "--cloud-config=/x"))
    found = at_least("warn", findings(facts(worker1=seen), (1, 33), (1, 34)))
    assert [each.severity for each in found] == ["warn", "fail"]
    assert "(the process that runs)" in found[1].seen


def test_files_that_were_changed_after_the_kubelets_start_are_a_note():
    seen = host(master=False)
    kept = facts(worker1=replace(seen, files={**seen.files, EXTRA: "KUBELET_EXTRA_ARGS=--v=4\n"}))
    (note,) = [each for each in findings(kept, (1, 34), (1, 35)) if each.severity == "note"]
    assert (note.host, note.why) == ("worker1", "new: --v")
    (note,) = [
        each for each in findings(facts(worker1=replace(seen, stale_unit=True)), (1, 34), (1, 35)) if each.severity == "note"
    ]
    assert "systemd has not read it yet" in note.seen


def test_a_configmap_that_is_missing_or_broken_is_a_failure():
    assert one(facts(cluster(kubelet="", kubelet_map="")), 34, 35).severity == "fail"
    assert "ConfigMap kube-proxy: it is not YAML" in one(facts(cluster(proxy="a: [")), 34, 35).seen


# ---- the line that mends


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ('KUBELET_EXTRA_ARGS="--v=2 --cloud-config=/etc/c.conf --node-ip=1"\n', 'KUBELET_EXTRA_ARGS="--v=2  --node-ip=1"\n'),
        ("KUBELET_EXTRA_ARGS=--cloud-config=/etc/c.conf\n", "KUBELET_EXTRA_ARGS=\n"),
        ("KUBELET_EXTRA_ARGS='--cloud_config /etc/c.conf'\n", "KUBELET_EXTRA_ARGS=''\n"),
        ("KUBELET_EXTRA_ARGS=--cloud-config  /etc/c.conf --cloud-config-x=1\n", "KUBELET_EXTRA_ARGS= --cloud-config-x=1\n"),
        ('KUBELET_EXTRA_ARGS="--cloud-config"\n', 'KUBELET_EXTRA_ARGS=""\n'),
    ],
)
def test_the_line_takes_the_flag_out_of_the_file(tmp_path, text, left):
    path = tmp_path / "kubelet"
    path.write_text(text)
    found = at_least("fail", findings(facts(worker1=host(master=False, files={EXTRA: text})), (1, 33), (1, 34)))
    answer = bash(found[0].fix.replace(EXTRA, str(path)))
    assert (answer.exited, answer.stderr) == (0, "")
    assert path.read_text() == left
    after = facts(worker1=host(master=False, files={EXTRA: path.read_text()}))
    assert at_least("fail", findings(after, (1, 33), (1, 34))) == []


# ---- any input


@given(
    st.dictionaries(st.sampled_from([EXTRA, FLAGS_ENV, CONFIG, *MASTER_FILES, "/etc/kubernetes/patches/etcd.yaml"]), st.text()),
    st.integers(20, 37),
    st.integers(0, 3),
)
def test_any_file_gives_findings_and_no_exception(files, now, hops):
    seen = host(running=())
    kept = facts(master1=replace(seen, files={**seen.files, **files}))
    for each in findings(kept, (1, now), (1, now + hops)):
        assert each.seen
        assert each.fix or each.severity in {"ok", "note"}


def test_no_finding_shows_the_value_of_a_flag():
    kept = extra("--storage-driver-password=hunter2 --cloud-config=hunter2")
    assert "hunter2" not in shown(findings(kept, (1, 33), (1, 37)))
    assert accepted.TOPIC == "settings"
