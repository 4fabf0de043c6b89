"""The rules about certificates, the findings of certs.check, parsing, and the scripts on real certificates."""

import base64
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.certs.rules import renewal as rules
from runbooks.certs.rules import report
from runbooks.commands import certs as commands
from runbooks.commands.base import HOST_SCRIPTS, Answer
from runbooks.commands.certs import PKI, VIP, Certificate, HostCerts
from runbooks.commands.kubectl import ADMIN_CONF
from runbooks.errors import UnreachableError
from runbooks.rules import kubeconfig
from tests.support.fakes import lb, master, site
from tests.unit.commands.test_verify import bash

pytestmark = pytest.mark.unit

SITE = site()
M1, W1 = master(1), SITE.workers[0]
NOW, DAY = 1_800_000_000, 86_400
EXTERNAL = msgspec.structs.replace(SITE, kubernetes=msgspec.structs.replace(SITE.kubernetes, etcd="external"))
PODS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")


def made(path, days=364.0, life=365):
    ends = int(NOW + days * DAY)
    return Certificate(
        path=path,
        ends=ends,
        fingerprint=f"print of {path}",
        starts=ends - life * DAY,
        subject="CN=system:node:m1.example,O=system:nodes",
    )


FILES = [made(path) for path in sorted(rules.expected(SITE))] + [made(path, 3649, 3650) for path in rules.CAS]
FILES += [made(rules.KUBELET_CLIENT, 300), made(rules.KUBELET_SERVING)]
WELL = HostCerts(
    clock=NOW,
    joined=True,
    openssl=True,
    certificates=tuple(FILES),
    served={port: replace(made(path), path=str(port)) for port, path in rules.FILE_OF.items()}
    | {10257: made("10257"), 10259: made("10259")},
    keys={each.path: "ok" for each in FILES if each.path.startswith(PKI)},
    changed={each.path: NOW - 1000 for each in FILES},
    containers=dict.fromkeys(PODS, NOW - 900),
    manifests=frozenset(PODS),
    kubelet=("active", NOW - 900),
)
WORKER = replace(
    WELL,
    certificates=tuple(each for each in FILES if each.path in {rules.CAS[0], rules.KUBELET_CLIENT}),
    served={},
    containers={},
)


def with_file(path, seen=WELL, **facts):
    return replace(seen, certificates=tuple(replace(each, **facts) if each.path == path else each for each in seen.certificates))


def without(path, seen=WELL):
    return replace(seen, certificates=tuple(each for each in seen.certificates if each.path != path))


def ending(path, days, seen=WELL):
    return with_file(path, seen, ends=int(NOW + days * DAY), starts=int(NOW + (days - 365) * DAY))


# ---- what has to be done


def test_a_host_that_is_well_needs_nothing():
    assert (rules.refusal(SITE, WELL), rules.due_for_renewal(SITE, WELL, 30), rules.stale(SITE, WELL, 30)) == ("", "", {})
    assert (
        rules.not_yet_served(SITE, WELL),
        rules.needs_client_certificate(WELL, 30),
        rules.needs_serving_certificate(WELL, 30),
    ) == ("", "", "")
    assert rules.etcd_reloaded(WELL)


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (replace(WELL, keys={**WELL.keys, f"{PKI}/ca.crt": "missing"}), "pki/ca.crt is an external CA"),
        (replace(WELL, keys={**WELL.keys, f"{PKI}/etcd/ca.crt": "differs"}), "pki/etcd/ca.crt is an external CA"),
        (ending(f"{PKI}/front-proxy-ca.crt", -1), "pki/front-proxy-ca.crt itself has ended"),
        (without(f"{PKI}/ca.crt"), f"there is no {PKI}/ca.crt"),
        (without("/etc/kubernetes/scheduler.conf"), "there is no certificate in scheduler.conf"),
        (replace(WELL, openssl=False), "openssl is not installed"),
        (HostCerts(clock=NOW, joined=False, openssl=True), "it is in no cluster"),
        (ending(f"{PKI}/ca.crt", 3), ""),  # it can still sign, until it expires itself
        (without(rules.SUPER_ADMIN), ""),
    ],
)
def test_what_stands_in_the_way(seen, reason):
    assert rules.refusal(SITE, seen)[: len(reason) or None] == reason


def test_etcd_elsewhere_is_its_owners_business():
    seen = replace(WELL, certificates=tuple(each for each in FILES if "etcd" not in each.path))
    assert rules.refusal(EXTERNAL, seen) == ""
    assert rules.refusal(SITE, seen)
    assert "etcd" not in rules.pods(EXTERNAL)


@pytest.mark.parametrize("path", sorted(rules.expected(SITE)))
@pytest.mark.parametrize(("days", "needed"), [(-100, True), (29.9, True), (30.1, False)])
def test_every_one_of_kubeadms_is_renewed_in_time(path, days, needed):
    assert bool(rules.due_for_renewal(SITE, ending(path, days), 30)) is needed


@pytest.mark.parametrize("path", [*rules.CAS, rules.KUBELET_CLIENT, rules.KUBELET_SERVING, "/root/.kube/config"])
def test_no_other_one_is_kubeadms(path):
    assert rules.due_for_renewal(SITE, ending(path, -1), 30) == ""


def test_the_most_urgent_is_the_reason():
    seen = ending(f"{PKI}/etcd/peer.crt", -3, ending(rules.SERVING, 5))
    assert rules.due_for_renewal(SITE, seen, 30) == "pki/etcd/peer.crt ended 3 days ago"


def test_a_key_that_is_not_its_certificates_is_renewed():
    seen = replace(WELL, keys={**WELL.keys, rules.SERVING: "differs"})
    assert rules.due_for_renewal(SITE, seen, 30) == "the private key of pki/apiserver.crt is missing or does not match it"


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (replace(WELL, changed={**WELL.changed, "/etc/kubernetes/scheduler.conf": NOW}), {"kube-scheduler"}),
        (replace(WELL, changed={**WELL.changed, f"{PKI}/apiserver-etcd-client.crt": NOW}), {"kube-apiserver"}),
        (replace(WELL, changed={**WELL.changed, f"{PKI}/etcd/peer.crt": NOW}), {"etcd"}),
        (replace(WELL, changed={**WELL.changed, ADMIN_CONF: NOW, f"{PKI}/ca.crt": NOW}), set()),
        (replace(WELL, changed=dict.fromkeys(WELL.changed, NOW)), set(PODS)),
        (replace(WELL, containers={}), set(PODS)),
        (with_file(rules.SERVING, fingerprint="another"), {"kube-apiserver"}),
        (with_file(rules.ETCD_SERVING, fingerprint="another"), {"etcd"}),
        (replace(WELL, served={**WELL.served, 10259: made("10259", 3)}), {"kube-scheduler"}),
        (replace(WELL, served={}), set()),  # nothing is served (yet): wait, do not restart
    ],
)
def test_what_has_to_be_restarted(seen, expected):
    assert rules.stale(SITE, seen, 30).keys() == expected


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (replace(WELL, served={}), "nothing is served on port 6443 yet"),
        (replace(WELL, served={port: WELL.served[port] for port in (6443, 2379)}), "nothing is served on port 2380 yet"),
        (with_file(rules.ETCD_PEER, fingerprint="another"), "port 2380 serves another certificate than pki/etcd/peer.crt"),
    ],
)
def test_what_is_served_has_to_be_proven(seen, reason):
    assert rules.not_yet_served(SITE, seen)[: len(reason)] == reason
    assert not rules.etcd_reloaded(seen) or "6443" in reason


def test_a_certificate_of_the_owners_choice_is_not_compared():
    args = msgspec.structs.replace(SITE.kubernetes.extra_args, api_server={"tls-cert-file": "/etc/ssl/own.crt"})
    own = msgspec.structs.replace(SITE, kubernetes=msgspec.structs.replace(SITE.kubernetes, extra_args=args))
    other = with_file(rules.SERVING, fingerprint="another")
    assert rules.other_served(own, other, 6443) == ""
    assert rules.other_served(SITE, other, 6443)


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (ending(rules.KUBELET_CLIENT, -2), "ended 2 days ago"),
        (ending(rules.KUBELET_CLIENT, 20), "ends in 20 days"),
        (ending(rules.KUBELET_CLIENT, 31), ""),
        (without(rules.KUBELET_CLIENT), "it has none"),
        # A certificate that is valid for one day: the kubelet renews it long before the last tenth.
        (with_file(rules.KUBELET_CLIENT, ends=NOW + DAY // 2, starts=NOW - DAY // 2), ""),
        (with_file(rules.KUBELET_CLIENT, ends=NOW + 60, starts=NOW - DAY), "ends in 0 days"),
    ],
)
def test_a_kubelet_that_lost_its_identity(seen, reason):
    assert rules.needs_client_certificate(seen, 30) == reason


def test_a_certificate_in_the_kubelets_kubeconfig_counts_before_the_file():
    embedded = replace(WELL, certificates=(*WELL.certificates, made(rules.KUBELET_CONF, -5)))
    assert rules.needs_client_certificate(embedded, 30) == "ended 5 days ago"


def test_a_kubelets_own_serving_certificate():
    assert rules.needs_serving_certificate(ending(rules.KUBELET_SERVING, 3), 30) == "ends in 3 days"
    signed = replace(WELL, certificates=(*ending(rules.KUBELET_SERVING, -3).certificates, made(rules.KUBELET_SIGNED)))
    assert rules.needs_serving_certificate(signed, 30) == ""


@pytest.mark.parametrize(
    ("subject", "name"),
    [
        ("CN=system:node:m1.example,O=system:nodes", "m1.example"),
        ("CN=system:node:master1,O=system:nodes", "master1"),
        ("CN=system:node:master2,O=system:nodes", "master1"),  # never another host's name
        ("", "master1"),
    ],
)
def test_the_name_of_a_node(subject, name):
    assert rules.node_name(SITE, M1, with_file(rules.KUBELET_CLIENT, subject=subject)) == name


# ---- the table


def word(row):
    return "unseen" if row.unseen else row.severity


def table(looked, days=30):
    return [(word(row), row.host, row.topic) for row in report.expiries(SITE, looked, days) if row.severity != "ok"]


ALL = dict.fromkeys(SITE.control_plane, WELL) | {W1: WORKER}


def test_containers_that_cannot_be_listed_are_named():
    seen = replace(WELL, containers={}, unlisted="crictl ps: context deadline exceeded")
    (row,) = [row for row in report.expiries(SITE, ALL | {M1: seen}, 30) if row.host == M1.name and row.severity != "ok"]
    assert (row.topic, row.unseen) == ("containers", True)
    assert "context deadline exceeded" in row.seen
    assert row.fix == "on master1: crictl ps; systemctl status containerd"


BALANCER = HostCerts(clock=NOW, joined=False, openssl=True, served={VIP: replace(made(rules.SERVING), path="0")})


def test_the_table_of_a_site_that_is_well():
    assert table(ALL | {lb(1): BALANCER}) == []
    (row,) = [row for row in report.expiries(SITE, ALL | {lb(1): BALANCER}, 30) if row.host == "lb1"]
    assert (row.days, row.seen) == (364, "that of master3")  # the last of three with the same


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (ending(rules.SERVING, -1), [("fail", "master1", "pki/apiserver.crt")]),
        (ending(rules.SERVING, 29), [("warn", "master1", "pki/apiserver.crt")]),
        (ending(f"{PKI}/ca.crt", 100), [("warn", "master1", "pki/ca.crt")]),
        (ending(rules.KUBELET_CLIENT, 29), [("warn", "master1", "kubelet-client-current.pem")]),
        (with_file(rules.KUBELET_CLIENT, ends=NOW + DAY // 2, starts=NOW - DAY // 2), []),
        (with_file(rules.SERVING, fingerprint="x"), [("fail", "master1", "kube-apiserver")]),
        (with_file(rules.KUBELET_SERVING, fingerprint="x"), [("fail", "master1", "kubelet.crt")]),
        (replace(WELL, changed={**WELL.changed, rules.ETCD_PEER: NOW}), []),  # etcd reads its files at every handshake
        (replace(WELL, changed={**WELL.changed, "/etc/kubernetes/scheduler.conf": NOW}), [("fail", "master1", "kube-scheduler")]),
        (replace(WELL, keys={**WELL.keys, rules.SERVING: "differs"}), [("fail", "master1", "pki/apiserver.crt")]),
        (replace(WELL, served={**WELL.served, 10257: made("10257", -1)}), [
            ("fail", "master1", "kube-controller-manager"), ("fail", "master1", "kube-controller-manager's own, port 10257"),
        ]),
        (without(f"{PKI}/front-proxy-client.crt"), [("fail", "master1", "pki/front-proxy-client.crt")]),
        (without(rules.KUBELET_CLIENT), [("fail", "master1", "kubelet-client-current.pem")]),
        (replace(WELL, openssl=False, certificates=()), [("unseen", "master1", "")]),
        (UnreachableError("master1 (10.1.1.101): no answer"), [("unseen", "master1", "")]),
        (HostCerts(clock=NOW, joined=False, openssl=True), [("unseen", "master1", "")]),
    ],
)  # fmt: skip
def test_the_table(seen, expected):
    assert sorted(table(ALL | {M1: seen})) == sorted(expected)
    told = [row for row in report.expiries(SITE, ALL | {M1: seen}, 30) if row.severity in {"fail", "warn"}]
    assert all((row.fix or row.unseen) and row.seen for row in told)


@pytest.mark.parametrize(
    ("fingerprint", "masters", "state"),
    [("print of x", SITE.control_plane, "fail"), ("print of x", SITE.control_plane[1:], "ok")],
)
def test_what_the_vip_serves_is_some_masters(fingerprint, masters, state):
    looked = dict.fromkeys(masters, WELL) | {
        lb(1): replace(BALANCER, served={VIP: Certificate(path="0", ends=NOW + 90 * DAY, fingerprint=fingerprint)})
    }
    (row,) = [row for row in report.expiries(SITE, looked, 30) if row.host == "lb1"]
    assert row.severity == state


def test_what_a_master_serves_at_the_vip_is_told_of_the_master():
    looked = {**ALL, M1: with_file(rules.SERVING, fingerprint="new"), lb(1): BALANCER}
    assert table(looked) == [("fail", "master1", "kube-apiserver")]


def test_a_vip_that_serves_nothing_is_not_ok():
    assert table(ALL | {lb(1): replace(BALANCER, served={})}) == [("unseen", "lb1", f"{SITE.endpoint.vip}:{SITE.endpoint.port}")]


def test_why_no_certificate_was_seen_at_the_vip():
    """A busy LB and a dead one are not the same, and what the other LB sees says whether clients are served."""
    busy = replace(BALANCER, served={}, silent={VIP: "no answer within 15 s, asked three times"})
    (row,) = [row for row in report.expiries(SITE, ALL | {lb(1): busy, lb(2): BALANCER}, 30) if row.host == "lb1"]
    assert row.seen == "no certificate was seen at the VIP: no answer within 15 s, asked three times; lb2 sees it"
    (row,) = [row for row in report.expiries(SITE, ALL | {lb(1): busy}, 30) if row.host == "lb1"]
    assert row.seen.endswith("; clients may not reach the API")


def test_a_port_says_why_it_has_no_certificate():
    find = (HOST_SCRIPTS / "certs-find.sh").read_text()
    for command, said in (
        ("served 'served 6443' 127.0.0.1:1", "silent 6443 the connection was refused"),
        ("openssl() { false; }; served 'served 10250' x", "silent 10250 the connection was closed without a certificate"),
        ("timeout() { return 124; }; served 'served 0' x", "silent 0 no answer within 15 s, asked three times"),
    ):
        done = subprocess.run(["bash", "-c", f"{find}\n{command}"], capture_output=True, text=True, check=False)
        assert done.stdout == f"{said}\n"
        assert set(commands.parse(Answer(0, f"clock 1\n{done.stdout}")).silent.values()) == {said.split(" ", 2)[2]}


@given(st.permutations([ending(rules.SERVING, days) for days in (-2, 5, 20, 100)]))
def test_the_most_urgent_comes_first(seen):
    hosts = [*SITE.control_plane, msgspec.structs.replace(M1, name="master9")]
    rows = report.expiries(SITE, dict(zip(hosts, seen, strict=True)), 30)
    first = [row.days for row in rows if row.topic == "pki/apiserver.crt"]
    assert first == [-2, 5, 20, 100]
    assert (rows[0].severity, rows[0].days) == ("fail", -2)


# ---- answers


def test_an_answer_is_read(authority):
    der = "".join((authority / "ca.crt").read_text().splitlines()[1:-1])
    public = bash(f"openssl pkey -pubout -in {authority}/ca.key | sed '/-----/d' | tr -d '\\n'").stdout
    said = "\n".join([
        "clock 100", "joined yes", "manifest etcd", "kubelet active 7", "openssl yes", f"changed 5 {PKI}/ca.crt",
        'containers {"containers": [{"metadata": {"name": "etcd"}, "createdAt": "9000000001"}, {"metadata": {"name": "etcd"}, "createdAt": "8"}]}',
        f"certificate {PKI}/ca.crt\t{der}", f"certificate {PKI}/a.crt\t{der}", f"certificate {PKI}/a.crt\tAAAA{der}", f"certificate {PKI}/spoiled.crt\tAAAA",
        f"key {public} {PKI}/ca.crt", f"key MAAA {PKI}/a.crt", f"key missing {PKI}/b.crt", f"served 6443\t{der}", "served 2379\tAAAA",
    ])  # fmt: skip
    seen = commands.parse(Answer(0, said))
    assert (seen.clock, seen.joined, seen.kubelet, seen.changed) == (100, True, ("active", 7), {f"{PKI}/ca.crt": 5})
    assert seen.containers == {"etcd": 0}
    ca, other = seen.certificates
    assert (ca.path, ca.ends - ca.starts, ca.subject) == (f"{PKI}/ca.crt", 3650 * DAY, "CN=kubernetes")
    assert (seen.served[6443].fingerprint, other.fingerprint) == (ca.fingerprint, ca.fingerprint)
    assert seen.keys == {f"{PKI}/ca.crt": "ok", f"{PKI}/a.crt": "differs", f"{PKI}/b.crt": "missing"}
    assert (seen.silent, seen.served.keys()) == ({2379: "what it serves cannot be read"}, {6443})


@pytest.mark.parametrize(
    "text",
    ["", "clock noon\n", "clock 1\nkey torn\n", "clock 1\ncontainers []\n", 'clock 1\ncontainers {"containers": [{}]}\n',
     "clock 1\nserved api\tAAAA\n", "clock 1\nkubelet active\n"],
)  # fmt: skip
def test_nonsense_is_an_error(text):
    with pytest.raises(ValueError, match=r"."):
        commands.parse(Answer(0, text))


@given(st.text())
def test_any_text_is_read_or_refused(text):
    with suppress(ValueError):
        commands.parse(Answer(0, f"clock 1\n{text}"))


@pytest.mark.parametrize("name", ["", "a b", "x;reboot", "-x", "master1/../..", "x\n", "Master"])
def test_a_name_that_is_none_is_signed_for_nobody(name):
    with pytest.raises(ValueError, match="node"):
        commands.sign("", name)


# ---- real certificates


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """Return a directory with a CA as kubeadm makes it."""
    top = tmp_path_factory.mktemp("pki")
    made = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=kubernetes -days 3650 -keyout ca.key -out ca.crt"
    subprocess.run(made.split(), cwd=top, check=True, capture_output=True)
    return top


def here(command, top):
    """Run a host's script here, with ``top`` in place of the PKI directories."""
    return bash(command.program.replace("/etc/kubernetes/pki", str(top)).replace("/var/lib/kubelet/pki", str(top)))


def test_a_kubelets_certificate_is_signed_for_its_own_key(authority):
    asked = here(commands.request("worker1"), authority)
    assert "PRIVATE" not in asked.stdout
    signed = here(commands.sign(commands.pem(asked), "worker1"), authority)
    text = commands.pem(signed)
    (authority / "worker1.crt").write_text(text)
    shown = bash(
        f"cd {authority}; openssl verify -CAfile ca.crt -purpose sslclient worker1.crt; openssl x509 -noout -text -in worker1.crt"
    ).stdout
    assert "worker1.crt: OK" in shown
    assert "Subject: O = system:nodes, CN = system:node:worker1" in shown
    assert "TLS Web Client Authentication" in shown
    assert "TLS Web Server Authentication" not in shown
    key = bash(
        f"cd {authority}; openssl pkey -pubout -in ha-runbooks-new.key; openssl x509 -noout -pubkey -in worker1.crt"
    ).stdout
    first, second = key[: len(key) // 2], key[len(key) // 2 :]
    assert first == second


def test_nobody_is_signed_for_as_somebody_else(authority):
    asked = here(commands.request("worker1"), authority)
    signed = here(commands.sign(commands.pem(asked), "master1"), authority)
    assert signed.exited == 1
    assert "CERTIFICATE" not in signed.stdout


def test_the_certificates_of_a_kubeconfig_are_read_as_openssl_reads_them(authority):
    pem = (authority / "ca.crt").read_text()
    data = base64.b64encode(pem.encode()).decode()
    text = (
        f"clusters:\n- cluster:\n    certificate-authority-data: {data}\nusers:\n- user:\n    client-certificate-data: {data}\n"
    )
    found = kubeconfig.client(text, "mine")
    said = bash(
        f"openssl x509 -noout -startdate -enddate -subject -nameopt RFC2253 -fingerprint -sha256 -in {authority}/ca.crt"
    ).stdout
    told = dict(line.split("=", 1) for line in said.splitlines())
    starts, ends = (
        datetime.strptime(told[key], "%b %d %H:%M:%S %Y GMT").replace(tzinfo=UTC).timestamp() for key in ("notBefore", "notAfter")
    )
    assert found
    assert (found.path, found.starts, found.ends) == ("mine", starts, ends)
    assert (found.subject, found.fingerprint) == (told["subject"], told["sha256 Fingerprint"])
    assert kubeconfig.authority(text) == found.fingerprint


@pytest.mark.parametrize("subject", ["/O=system:nodes/CN=system:node:m1.example", '/C=KR/O=a, b+c=d/OU=x;y/CN=\\"q\\"'])
def test_a_subject_is_told_as_openssl_tells_it(tmp_path, subject):
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    subprocess.run([*made, "-subj", subject, "-keyout", "key", "-out", "crt"], cwd=tmp_path, check=True, capture_output=True)
    found = kubeconfig.client(of_user((tmp_path / "crt").read_bytes()), "x")
    said = bash(f"openssl x509 -noout -subject -nameopt RFC2253 -in {tmp_path}/crt").stdout
    assert found
    assert f"subject={found.subject}" == said.strip()


def of_user(data):
    """Return a kubeconfig whose user has this client certificate."""
    return f"users:\n- user:\n    client-certificate-data: {base64.b64encode(data).decode()}\n"


def test_a_ca_as_kubeadm_makes_it_is_read_without_a_word(tmp_path):
    """Its serial number is 0."""
    made = "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=kubernetes -set_serial 0 -days 3650 -keyout key -out crt"
    subprocess.run(made.split(), cwd=tmp_path, check=True, capture_output=True)
    program = "import sys; from runbooks.rules import kubeconfig; print(kubeconfig.client(sys.stdin.read(), 'x').subject)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=of_user((tmp_path / "crt").read_bytes()),
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("CN=kubernetes\n", "")


@pytest.mark.parametrize("days", [36_500, 2_900_000], ids=["beyond 2050", "beyond 9000"])
def test_a_certificate_that_outlives_the_century_is_read(tmp_path, days):
    made = f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=x -days {days} -keyout key -out crt"
    subprocess.run(made.split(), cwd=tmp_path, check=True, capture_output=True)
    found = kubeconfig.client(of_user((tmp_path / "crt").read_bytes()), "x")
    assert found
    assert found.ends - found.starts == days * DAY


@given(st.binary(max_size=200))
def test_bytes_that_are_no_certificate_are_none(data):
    pem = b"-----BEGIN CERTIFICATE-----\n" + base64.b64encode(data) + b"\n-----END CERTIFICATE-----\n"
    assert kubeconfig.client(of_user(pem), "x") is None
    assert kubeconfig.client(of_user(data), "x") is None


@given(st.integers(0, 10_000), st.integers(0, 255))
def test_a_damaged_certificate_is_read_or_none(authority, at, byte):
    body = base64.b64decode("".join((authority / "ca.crt").read_text().splitlines()[1:-1]))
    body = body[: at % len(body)] + bytes([byte]) + body[at % len(body) + 1 :]
    pem = b"-----BEGIN CERTIFICATE-----\n" + base64.b64encode(body) + b"\n-----END CERTIFICATE-----\n"
    kubeconfig.client(of_user(pem), "x")


@pytest.mark.parametrize(
    "text", ["", "\ufeff", "users: x", "users: [[], {user: []}]", "users: [", "\x00", "a\n---\nb", "[" * 100_000]
)
def test_a_text_that_is_no_kubeconfig_has_no_certificate(text):
    assert kubeconfig.client(text, "x") is None
    assert kubeconfig.authority(text) == ""


def test_a_kubeconfig_without_a_certificate_has_none():
    assert kubeconfig.client("users:\n- user:\n    token: x\n", "x") is None
    assert kubeconfig.authority("") == ""
