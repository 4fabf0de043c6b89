"""What hosts, API servers and a cluster's objects say, recorded from Kubernetes 1.20, and what we make of it."""

import json
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.commands import admission, objects, verify
from runbooks.commands.base import Answer
from runbooks.commands.objects import KUBEADM_CONFIG, LEASES, NODES
from runbooks.commands.verify import Health, Written
from tests.support.fakes import bash, master, site
from tests.support.recorded import recorded_answer

pytestmark = pytest.mark.unit

# ---- one host


def test_a_control_plane_host():
    facts = verify.parse_host(recorded_answer("kubernetes/1.20.2-host-control-plane"))
    assert facts.joined
    assert facts.openssl
    assert facts.units == {"kubelet": "active", "containerd": "active"}
    assert facts.manifests == {"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"}
    assert facts.sums.keys() == {"ca.crt", "front-proxy-ca.crt", "etcd/ca.crt", "sa.pub"}
    ends = {each.path: datetime.fromtimestamp(each.ends, UTC) for each in facts.certificates}
    assert ends["/etc/kubernetes/pki/apiserver.crt"] == datetime(2027, 11, 29, 14, 19, 25, tzinfo=UTC)
    # Those that kubeadm's and the kubelet's kubeconfigs hold count like files.
    assert {
        "/etc/kubernetes/admin.conf",
        "/var/lib/kubelet/pki/kubelet-client-current.pem",
        "/etc/kubernetes/pki/ca.crt",
    } <= ends.keys()
    (file,) = [each for each in facts.certificates if each.path == "/etc/kubernetes/pki/apiserver.crt"]
    assert facts.served
    assert facts.served.fingerprint == file.fingerprint != ""


def test_a_worker():
    facts = verify.parse_host(recorded_answer("kubernetes/1.20.2-host-worker"))
    assert facts.joined
    assert (facts.served, facts.manifests) == (None, frozenset())
    assert [each.path.rpartition("/")[2] for each in facts.certificates] == ["ca.crt", "kubelet-client-current.pem"]


def test_a_host_with_nothing_on_it():
    facts = verify.parse_host(Answer(0, "clock 1\nunit kubelet inactive\nunit containerd inactive\n"))
    assert (facts.joined, facts.openssl, facts.certificates) == (False, False, ())


@pytest.mark.parametrize("text", ["", "unit kubelet active\n", "clock noon\n"])
def test_nonsense_of_a_host_is_an_error(text):
    with pytest.raises(ValueError, match=r"."):
        verify.parse_host(Answer(0, text))


@pytest.fixture
def pki(tmp_path):
    """A host's directory with real certificates, and the script that looks at it there."""
    (tmp_path / "pki/etcd").mkdir(parents=True)
    make = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=x -days 40 -keyout {0}.key -out {0}.crt"
    )
    for name in ("pki/ca", "pki/etcd/server"):
        made = bash(make.format(tmp_path / name) + " 2>&1")
        assert made.exited == 0, made.stdout
    (tmp_path / "pki/broken.crt").write_text("no certificate\n")
    ca, key = ((tmp_path / f"pki/ca.{kind}").read_text() for kind in ("crt", "key"))
    (tmp_path / "pki/windows.crt").write_text(ca.replace("\n", "\r\n"), newline="")
    (tmp_path / "pki/torn.crt").write_text(ca.rstrip() + key)
    bash(
        f"printf 'users:\\n- user:\\n    client-certificate-data: %s\\n' $(base64 -w0 {tmp_path}/pki/ca.crt) >{tmp_path}/admin.conf"
    )
    return tmp_path


def test_the_script_reads_real_certificates_and_nothing_of_their_keys(pki):
    program = verify.host_facts(site().workers[0]).command.program.replace("/etc/kubernetes", str(pki))
    answer = bash(program)
    assert answer.exited == 0
    assert "PRIVATE" not in answer.stdout
    facts = verify.parse_host(answer)
    found = {each.path.removeprefix(f"{pki}/"): each for each in facts.certificates}
    assert found.keys() >= {"pki/ca.crt", "pki/etcd/server.crt", "admin.conf"}
    assert not {"pki/broken.crt", "pki/torn.crt"} & found.keys()
    assert found["pki/windows.crt"].fingerprint == found["pki/ca.crt"].fingerprint
    key = (pki / "pki/ca.key").read_text().splitlines()[1]
    assert key not in answer.stdout
    assert found["admin.conf"].fingerprint == found["pki/ca.crt"].fingerprint != found["pki/etcd/server.crt"].fingerprint
    assert 39 <= (found["pki/ca.crt"].ends - facts.clock) / 86_400 <= 40


# ---- API servers


def test_health_of_one_that_is_well():
    found = verify.parse_health(recorded_answer("kubernetes/1.20.2-health"))
    assert [(each.server, each.what, each.ok) for each in found] == [
        ("https://10.1.1.100:6443", "livez", True),
        ("https://10.1.1.100:6443", "readyz", True),
        ("https://10.1.1.102:6443", "livez", True),
        ("https://10.1.1.102:6443", "readyz", True),
    ]
    assert {each.passed for each in found} == {22, 24}


FAILING = (
    'Error from server (InternalError): an error on the server ("[+]ping ok\\n[-]etcd failed: reason withheld\\n'
    '[-]poststarthook/rbac/bootstrap-roles failed: not finished\\nreadyz check failed") has prevented the request from succeeding'
)


@pytest.mark.parametrize(
    ("line", "passed", "failed", "error"),
    [
        ("https://a readyz 0 [+]ping ok\t[+]etcd ok\treadyz check passed", 2, (), ""),
        (f"https://a readyz 1 {FAILING}", 1, ("etcd", "poststarthook/rbac/bootstrap-roles"), ""),
        (
            "https://a readyz 1 The connection to the server a was refused - did you specify the right host or port?",
            0, (), "The connection to the server a was refused",
        ),
        ("https://a readyz 1 Unable to connect to the server: EOF", 0, (), "EOF"),
        ("https://a readyz 127 ", 0, (), "it gave no answer"),
    ],
)  # fmt: skip
def test_health(line, passed, failed, error):
    assert verify.parse_health(Answer(0, line + "\n")) == (
        Health(server="https://a", what="readyz", passed=passed, failed=failed, error=error),
    )


@pytest.mark.parametrize(
    ("said", "api"),
    [
        ("api ok", "ok"),
        (f"api {FAILING}", "not ready: etcd, poststarthook/rbac/bootstrap-roles"),
        ("api Unable to connect to the server: EOF", "EOF"),
        ("", ""),
    ],
)
def test_the_quick_look_at_an_api_server(said, api):
    assert verify.parse_status(Answer(0, f"unit kubelet active\njoined yes\n{said}\n")).api == api


def test_the_quick_look_behind_a_silent_api_server():
    said = "unit kubelet active\njoined yes\nmanifest etcd\napi EOF\ncontainers yes\nrunning etcd\n"
    assert verify.parse_status(Answer(0, said)).running == {"etcd"}
    assert verify.parse_status(Answer(0, said.replace("running etcd\n", ""))).running == frozenset()
    assert verify.parse_status(Answer(0, said.replace("containers yes\nrunning etcd\n", ""))).running is None


# ---- objects


def test_nodes():
    found = {node.name: node for node in objects.parse_cluster(recorded_answer("kubernetes/1.20.2-objects")).nodes}
    assert found.keys() == {"master1", "master2", "master3", "worker1"}
    one, worker = found["master1"], found["worker1"]
    assert (one.ready, one.version, one.address, one.cordoned, one.pressure) == (True, "v1.20.2", "10.1.1.101", False, ())
    assert {"node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"} <= one.labels
    assert one.taints == {"node-role.kubernetes.io/master"}
    assert (worker.taints, worker.runtime) == (frozenset(), "containerd://1.6.20")


def test_pods_leases_and_the_record():
    seen = objects.parse_cluster(recorded_answer("kubernetes/1.20.2-objects"))
    pods = {pod.name: pod for pod in seen.pods}
    assert {f"etcd-master{number}" for number in (1, 2, 3)} <= pods.keys()
    assert all(pod.ready and pod.namespace == "kube-system" for pod in seen.pods)
    proxies = [pod for pod in seen.pods if pod.labels.get("k8s-app") == "kube-proxy"]
    assert {pod.node for pod in proxies} == {"master1", "master2", "master3", "worker1"}
    restarted = pods["kube-scheduler-master1"]
    assert restarted.restarts == 1
    assert 0 < seen.clock - restarted.restarted < 3600
    assert pods["kube-scheduler-master2"].restarted == 0
    leases = {lease.name: lease for lease in seen.leases}
    assert leases["kube-scheduler"].holder.startswith("master1_")
    assert 0 <= seen.clock - leases["kube-scheduler"].renewed < 5
    assert seen.config["clusterName"] == "ha-cluster"
    assert seen.config["controlPlaneEndpoint"] == "10.1.1.100:6443"
    assert seen.config["networking.podSubnet"] == "10.244.0.0/16"
    assert seen.errors == {}


def items(path, *found):
    return f"clock 5\n{path} 0 {json.dumps({'items': list(found)})}\n"


def test_what_was_refused_is_told_by_its_path():
    text = f"clock 5\n{NODES} 1 Error from server (Forbidden): no\n{LEASES} 1 Unable to connect to the server: EOF\n"
    assert objects.parse_cluster(Answer(0, text)).errors == {NODES: "no", LEASES: "EOF"}


def test_a_node_of_which_nothing_is_known_is_not_ready():
    (node,) = objects.parse_cluster(Answer(0, items(NODES, {"metadata": {"name": "new"}}))).nodes
    assert (node.ready, node.reason, node.address) == (False, "the kubelet has not said anything", "")


@pytest.mark.parametrize(
    ("status", "ready", "why"),
    [
        ({"phase": "Pending"}, False, "Pending"),
        ({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}, True, ""),
        ({"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]}, False, "not ready"),
        ({"phase": "Running", "conditions": [{"type": "Ready", "status": "False", "reason": "X"}]}, False, "X"),
        ({"phase": "Running", "containerStatuses": [{"state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}, False, "CrashLoopBackOff"),
        (
            {"phase": "Pending", "initContainerStatuses": [{"state": {"terminated": {"exitCode": 2, "reason": "Error"}}}]},
            False, "Error (2)",
        ),
        ({"phase": "Failed", "reason": "Evicted"}, False, "Evicted"),
        ({"phase": "Running", "reason": "NodeLost", "conditions": None, "containerStatuses": None}, False, "NodeLost"),
    ],
)  # fmt: skip
def test_why_a_pod_is_not_ready(status, ready, why):
    item = {"metadata": {"name": "p", "namespace": "kube-system"}, "status": status}
    (pod,) = objects.parse_cluster(Answer(0, items(objects.pods_in("kube-system"), item))).pods
    assert (pod.ready, pod.why if not ready else "") == (ready, why)


@pytest.mark.parametrize(
    "text",
    ["", "clock x\n", f"clock 5\n{NODES} 0 nonsense\n", items(NODES, {"kind": "Node"}), items(LEASES, 5), f"clock 5\n{KUBEADM_CONFIG} 0 []\n"],
)  # fmt: skip
def test_nonsense_of_an_api_server_is_an_error(text):
    with pytest.raises(ValueError, match=r"."):
        objects.parse_cluster(Answer(0, text))


def record(text):
    return f"clock 5\n{KUBEADM_CONFIG} 0 {json.dumps({'data': {'ClusterConfiguration': text}})}\n"


def test_the_plain_values_of_kubeadms_record():
    text = (
        "apiServer:\n  certSANs:\n  - a\n  extraArgs:\n    v: '2'\n  timeoutForControlPlane: 4m0s\nclusterName: \"1e3\"\n"
        "dns: {}\nkubernetesVersion: 1.20\nnetworking:\n  dnsDomain: cluster.local\n  podSubnet: 10.244.0.0/16,fd00::/48\n  none: \n"
    )
    assert objects.parse_cluster(Answer(0, record(text))).config == {
        "apiServer.timeoutForControlPlane": "4m0s",
        "clusterName": "1e3",
        "kubernetesVersion": "1.20",
        "networking.dnsDomain": "cluster.local",
        "networking.podSubnet": "10.244.0.0/16,fd00::/48",
    }
    assert objects.parse_cluster(Answer(0, record(""))).config == {}


@given(st.text())
def test_any_record_is_read_or_refused(text):
    with suppress(ValueError):
        objects.parse_cluster(Answer(0, record(text)))


@pytest.mark.parametrize("text", ["a: [", "just words", "- a"])
def test_a_record_that_is_none_is_an_error(text):
    with pytest.raises(ValueError, match=r"."):
        objects.parse_cluster(Answer(0, record(text)))


@given(st.text(max_size=300))
def test_any_text_is_read_or_refused(text):
    for parse in (verify.parse_host, verify.parse_health, verify.parse_status, verify.parse_written, objects.parse_cluster):
        try:
            parse(Answer(0, text))
        except ValueError:
            continue


# ---- a write

FAKE_KUBECTL = """
kubectl() {{
    local verb
    for verb in create get delete; do [[ " $* " != *" $verb --raw "* ]] || break; done
    echo "$verb ${{*: -1}}" >>"{log}"
    [ "$verb" = "{broken}" ] && echo "Unable to connect to the server: EOF" && return 1
    case $verb in create) cat >"{log}.object" ;; get) cat "{log}.object" ;; esac
}}
"""


@pytest.mark.parametrize(
    ("broken", "error", "done", "verbs"),
    [
        ("", "", {"created", "read", "deleted"}, ["create", "get", "delete"]),
        ("create", "create Unable to connect to the server: EOF", set(), ["create", "delete"]),
        ("get", "get Unable to connect to the server: EOF", {"created"}, ["create", "get", "delete"]),
        ("delete", "delete Unable to connect to the server: EOF", {"created", "read"}, ["create", "get", "delete", "delete"]),
    ],
)
def test_a_write_is_always_taken_away_again(tmp_path, broken, error, done, verbs):
    command = verify.write(site(), "probe-1").command
    answer = bash(FAKE_KUBECTL.format(log=tmp_path / "log", broken=broken) + command.program)
    written = verify.parse_written(answer)
    assert (written.took.keys(), written.error) == (done, error)
    assert [line.split()[0] for line in (tmp_path / "log").read_text().splitlines()] == verbs
    assert json.loads((tmp_path / "log.object").read_text())["metadata"]["name"] == "probe-1" if broken != "create" else True


def test_a_write_that_came_back_otherwise_is_no_success(tmp_path):
    command = verify.write(site(), "probe-1").command
    other = FAKE_KUBECTL.format(log=tmp_path / "log", broken="").replace(f'cat "{tmp_path}/log.object"', 'echo "{}"')
    assert verify.parse_written(bash(other + command.program)).error == "get {}"


def test_a_write_that_was_cut_off_is_no_success():
    assert verify.parse_written(Answer(0, "created 5\n")) == Written({"created": 5}, "it was not finished")


# ---- builders


def test_what_is_asked_of_whom():
    assert "API=10.1.1.101:6443" in verify.host_facts(master(1)).command.program
    assert "API=''" in verify.host_facts(site().workers[0]).command.program
    program = objects.cluster(master(2), ["kube-system"]).command.program
    assert "SERVER=https://10.1.1.102:6443" in program
    assert "/api/v1/namespaces/kube-system/pods" in program


def test_warnings_of_the_api_server_are_no_part_of_an_object(tmp_path, monkeypatch):
    """From 1.33 on, kubectl prints on its standard error that v1 Endpoints is deprecated."""
    program = tmp_path / "kubectl"
    program.write_text(
        "#!/bin/bash\necho 'Warning: v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice' >&2\n"
        'case "$*" in *gone*) echo \'Error from server (NotFound): endpoints "gone" not found\' >&2 && exit 1 ;; esac\n'
        'echo \'{"subsets":[{"addresses":[{"ip":"10.244.1.2"}]}]}\'\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    probe = admission.silent(master(1), ["policy/answers", "policy/gone"])
    assert probe.parse(bash(probe.command.program)) == {"policy/gone": "there is no such Service, or it has no endpoints"}
    program.write_text("#!/bin/bash\necho 'Warning: v1 X is deprecated' >&2\necho '{\"items\":[]}'\n")
    probe = admission.ask(master(1), [])
    assert probe.parse(bash(probe.command.program)).webhooks == ()
    program.write_text("#!/bin/bash\necho 'Error from server (Forbidden): no' >&2\nexit 1\n")
    assert "1 Error from server (Forbidden): no" in bash(probe.command.program).stdout
