"""Which files of a host its static pods and its kubelet name: through mounts, configuration files and links, on any input."""

from __future__ import annotations

import json
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from runbooks.cluster.named import MADE
from runbooks.commands import backup, named_files
from runbooks.commands.base import HOST_SCRIPTS, Answer
from runbooks.commands.named_files import Seen
from runbooks.rules import named
from runbooks.rules.named_lists import MOST
from tests.support.fakes import master

pytestmark = pytest.mark.unit

MANIFEST = "/etc/kubernetes/manifests/kube-apiserver.yaml"
SAVED = backup.saved(master(1))


def volume(path: str, kind: str = "DirectoryOrCreate", inside: str = "") -> dict[str, str]:
    return {"path": path, "type": kind, "inside": inside or path}


USUAL = [volume("/etc/ssl/certs"), volume("/etc/pki"), volume("/usr/share/ca-certificates")]


def pod(*flags: str, volumes: list[dict[str, str]] | None = None, program: str = "kube-apiserver", **more: Any) -> Seen:
    """Return the manifest of a static pod."""
    mounts = USUAL if volumes is None else volumes
    container = {
        "name": program,
        "command": [program, *flags],
        "volumeMounts": [{"name": f"v{number}", "mountPath": each["inside"]} for number, each in enumerate(mounts)],
    } | more
    spec = {
        "containers": [container],
        "volumes": [
            {"name": f"v{number}", "hostPath": {"path": each["path"], "type": each["type"]}} for number, each in enumerate(mounts)
        ],
    }
    return Seen("file", 1, yaml.safe_dump({"kind": "Pod", "metadata": {"name": program}, "spec": spec}))


def names(manifest: Seen, kubelet: str = "", **files: Seen) -> dict[str, bool]:
    """Return what is named, and whether it is needed."""
    seen = {MANIFEST: manifest} | {f"/{path.replace('__', '/')}": one for path, one in files.items()}
    return {each.path: each.needed for each in named.paths_named(seen, kubelet) if each.path != "/etc/kubernetes/admin.conf"}


def text(document: object) -> Seen:
    return Seen("file", 1, json.dumps(document))


def test_a_flag_names_a_file_in_a_directory_that_is_not_saved_whole() -> None:
    assert names(pod("--oidc-ca-file=/etc/ssl/certs/company-sso-ca.pem")) == {"/etc/ssl/certs/company-sso-ca.pem": True}


@pytest.mark.parametrize(
    "flags",
    [("--oidc-ca-file", "/etc/oidc/ca.pem"), ("--oidc_ca_file=/etc/oidc/ca.pem",), ("--x=a,/etc/oidc//./ca.pem",)],
    ids=["apart", "underscores", "a list"],
)
def test_a_path_in_a_container_is_another_on_the_host(flags: tuple[str, ...]) -> None:
    assert names(pod(*flags, volumes=[volume("/srv/oidc", inside="/etc/oidc")])) == {
        "/srv/oidc/ca.pem": True,
        "/srv/oidc": False,
    }


def test_a_shells_program_is_read_too() -> None:
    command = ["/bin/sh", "-c", "exec kube-apiserver --oidc-ca-file=/etc/ssl/certs/a.pem --v=2 >>/var/log/x.log"]
    assert names(pod(command=command)) == {"/etc/ssl/certs/a.pem": True}


def test_a_server_certificate_for_some_names() -> None:
    found = names(pod("--tls-sni-cert-key=/etc/ssl/certs/a.crt,/etc/ssl/certs/a.key:foo.example,*.foo.example"))
    assert found == {"/etc/ssl/certs/a.crt": True, "/etc/ssl/certs/a.key": True}


def test_what_a_program_writes_is_not_named() -> None:
    """The directory of its logs is a volume, and may be large: wherever it is."""
    logs = [volume("/srv/audit"), volume("/data/etcd"), volume("/usr/libexec/kubernetes/x")]
    flags = ("--audit-log-path=/srv/audit/a.log", "--data-dir=/data/etcd", "--flex-volume-plugin-dir=/usr/libexec/kubernetes/x")
    assert names(pod(*flags, "--etcd-prefix=/registry", volumes=logs)) == {}


def test_files_that_only_exist_in_the_image() -> None:
    assert names(pod("--cloud-config=/opt/in-the-image")) == {}


def test_only_a_program_of_kubernetes_needs_what_its_flags_name() -> None:
    found = names(pod("--config=/etc/vip/a", program="kube-vip", volumes=[volume("/etc/vip", "Directory")]))
    assert found == {"/etc/vip/a": False, "/etc/vip": True}


def test_admission_names_a_webhooks_kubeconfig_which_names_certificates() -> None:
    there = volume("/srv/admission", inside="/etc/admission")
    admission = {
        "kind": "AdmissionConfiguration",
        "plugins": [
            {"name": "ImagePolicyWebhook", "path": "image.yaml"},
            {"name": "ValidatingAdmissionWebhook", "configuration": {"kubeConfigFile": "/etc/admission/hook.conf"}},
        ],
    }
    hook = {
        "clusters": [{"cluster": {"certificate-authority": "tls/ca.pem", "server": "https://x"}}],
        "users": [{"user": {"client-certificate-data": "LS0tL", "exec": {"command": "/etc/admission/login"}}}],
    }
    found = names(
        pod("--admission-control-config-file=/etc/admission/all.yaml", volumes=[there]),
        **{"srv__admission__all.yaml": text(admission), "srv__admission__hook.conf": text(hook)},
    )
    assert found == {
        "/srv/admission": False,
        "/srv/admission/all.yaml": True,
        "/srv/admission/image.yaml": True,
        "/srv/admission/hook.conf": True,
        "/srv/admission/tls/ca.pem": True,
        "/srv/admission/login": True,
    }


def test_an_encryption_providers_socket() -> None:
    kms = {"resources": [{"providers": [{"kms": {"endpoint": "unix:///var/run/kms/socket"}}]}]}
    manifest = pod("--encryption-provider-config=/etc/ssl/certs/enc.yaml", volumes=[*USUAL, volume("/var/run/kms")])
    seen = {MANIFEST: manifest, "/etc/ssl/certs/enc.yaml": text(kms), "/var/run/kms/socket": Seen("other")}
    found = named.paths_named(seen, "")
    chosen = named.select([each for each in found if "kubectl" not in each.by], seen, {}, SAVED)
    assert (chosen.save, chosen.missing) == (("/etc/ssl/certs/enc.yaml",), {})
    assert "/var/run/kms/socket is not saved: it is a socket" in chosen.notes[0]


@pytest.mark.parametrize(
    ("text_of_file", "path"),
    [
        (
            {"egressSelections": [{"connection": {"transport": {"tcp": {"tlsConfig": {"clientKey": "/etc/pki/k.pem"}}}}}]},
            "/etc/pki/k.pem",
        ),
        ({"authorizers": [{"webhook": {"connectionInfo": {"kubeConfigFile": "/etc/pki/w.conf"}}}]}, "/etc/pki/w.conf"),
        ({"clientConnection": {"kubeconfig": "/etc/pki/s.conf"}}, "/etc/pki/s.conf"),
        ({"client-transport-security": {"trusted-ca-file": "/etc/pki/e.pem"}}, "/etc/pki/e.pem"),
        ({"users": [{"user": {"tokenFile": "/etc/pki/token"}}]}, "/etc/pki/token"),
    ],
    ids=["egress", "authorization", "scheduler", "etcd", "token"],
)
def test_what_other_configurations_name(text_of_file: object, path: str) -> None:
    found = names(pod("--config=/etc/ssl/certs/c.yaml"), **{"etc__ssl__certs__c.yaml": text(text_of_file)})
    assert found == {"/etc/ssl/certs/c.yaml": True, path: True}


def test_the_kubelets_own_files() -> None:
    flags = (
        "/usr/bin/kubelet --bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --kubeconfig=/etc/kubernetes/kubelet.conf\n"
        "--config=/opt/kubelet.yaml\n--cgroup-root=/x --resolv-conf /run/r --container-runtime-endpoint=unix:///run/containerd.sock"
    )
    config = {
        "authentication": {"x509": {"clientCAFile": "/opt/ca.pem"}},
        "staticPodPath": "/opt/pods",
        "kubeletCgroups": "/kubelet.slice",
    }
    seen = {"/opt/kubelet.yaml": text(config), "/opt/pods/a.yaml": pod("--x=/etc/pki/a")}
    assert {each.path for each in named.paths_named(seen, flags)} - {"/etc/kubernetes/admin.conf"} == {
        "/etc/kubernetes/kubelet.conf",
        "/opt/kubelet.yaml",
        "/opt/ca.pem",
        "/opt/pods",
        "/etc/pki/a",
    }
    assert "/opt/pods" in named.folders(seen, flags)


def test_programs_that_the_kubelet_runs() -> None:
    """They are in a directory: it is saved, unless it is large."""
    flags = "--image-credential-provider-config=/opt/cp/c.yaml --image-credential-provider-bin-dir=/opt/cp/bin"
    found = [each for each in named.paths_named({}, flags) if each.needed]
    assert [each.path for each in found] == ["/opt/cp/c.yaml", "/opt/cp/bin"]
    file = Seen("file", 1)
    assert named.select(found, {"/opt/cp/c.yaml": file, "/opt/cp/bin": Seen("directory", 9)}, {}, SAVED).save[0] == "/opt/cp/bin"
    large = named.select(found, {"/opt/cp/c.yaml": file, "/opt/cp/bin": Seen("directory", MOST + 1)}, {}, SAVED)
    assert (large.save, large.missing, len(large.notes)) == (("/opt/cp/c.yaml",), {}, 1)


def test_what_only_the_kubelet_names_is_of_that_host_alone() -> None:
    flags = "--tls-cert-file=/etc/ssl/private/m1.pem --config=/opt/k.yaml --x-file=/etc/ssl/certs/a.pem"
    seen = {
        MANIFEST: pod("--oidc-ca-file=/etc/ssl/certs/a.pem"),
        "/opt/k.yaml": text({"tlsPrivateKeyFile": "/etc/ssl/private/m1.key"}),
    }
    found = named.paths_named(seen, flags)
    assert {each.path: each.for_kubelet for each in found if each.path != "/etc/kubernetes/admin.conf"} == {
        "/etc/ssl/private/m1.pem": True,
        "/opt/k.yaml": True,
        "/etc/ssl/private/m1.key": True,
        "/etc/ssl/certs/a.pem": False,
    }


@pytest.mark.parametrize("value", ["", " ", "file://"])
def test_an_empty_value_names_nothing(value: str) -> None:
    """A relative path is one below the directory of the file: an empty one would be that directory."""
    found = names(pod("--config=/etc/ssl/certs/a/c.yaml"), **{"etc__ssl__certs__a__c.yaml": text({"cert-file": value})})
    assert found == {"/etc/ssl/certs/a/c.yaml": True}


def test_a_named_file_that_is_not_there_is_missing() -> None:
    seen = {MANIFEST: pod("--oidc-ca-file=/etc/ssl/certs/a.pem"), "/etc/ssl/certs/a.pem": Seen("missing")}
    chosen = named.select([each for each in named.paths_named(seen, "") if each.needed], seen, {}, SAVED)
    assert chosen.missing == {"/etc/ssl/certs/a.pem": "there is no such file, but kube-apiserver --oidc-ca-file names it"}


@pytest.mark.parametrize(
    ("one", "loose", "outcome"),
    [
        (Seen("file", 10), False, "save"),
        (Seen("directory", 10), True, "save"),
        (Seen("file", MOST + 1), False, "missing"),
        (Seen("directory", MOST + 1), True, "notes"),
        (Seen("missing"), True, ""),
    ],
)
def test_what_is_saved(one: Seen, loose: bool, outcome: str) -> None:
    chosen = named.select([named.Named("/opt/a", "x", needed=False, loose=loose)], {"/opt/a": one}, {}, SAVED)
    assert [name for name in ("save", "missing", "notes") if getattr(chosen, name)] == [outcome] * bool(outcome)


def test_what_every_set_has_is_not_saved_twice() -> None:
    paths = ["/etc/kubernetes/a", "/var/lib/kubelet/config.yaml", "/opt/b", "/opt/b/c", "/etc/ssl/certs", "/etc/machine-id"]
    seen = {path: Seen("directory" if path in {"/opt/b", "/etc/ssl/certs"} else "file", 1) for path in paths}
    chosen = named.select([named.Named(path, "x", needed=True) for path in paths], seen, {}, SAVED)
    assert (chosen.save, chosen.missing) == (("/opt/b",), {})


def test_for_another_host_only_files_are_chosen() -> None:
    """A directory that is mounted may hold what is that host's own."""
    seen = {"/opt/b": Seen("directory", 1), "/opt/b/c": Seen("file", 1)}
    chosen = named.select([named.Named(path, "x", needed=True) for path in seen], seen, {}, (), directories=False)
    assert chosen.save == ("/opt/b/c",)


def test_a_manifest_that_is_no_yaml_is_said() -> None:
    assert MANIFEST in named.unreadable({MANIFEST: Seen("file", 1, "a: [")}, "")


def test_aliases_do_not_multiply() -> None:
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 40))
    assert "/etc/ssl/certs/b" in names(pod("--config=/etc/ssl/certs/b"), etc__ssl__certs__b=Seen("file", 1, bomb))


WILD = st.recursive(
    st.text() | st.sampled_from(["/etc/ssl/certs/x", "/..", "unix:///run/x", "--a=/b", "--a"]),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["kubeconfig", "path", "kind", "spec", "containers", "args"]), inner)
    ),
)


@given(WILD, WILD, st.text())
def test_any_document_is_read(manifest: Any, config: Any, kubelet: str) -> None:
    """Whatever is in the files: every path that comes out is absolute, clean, and not outside of what was mounted."""
    wild = [Seen("file", 1, yaml.safe_dump(each)) for each in (manifest, config)]
    container = {"command": ["etcd", "--x=/etc/ssl/certs/x"], "args": manifest, "env": manifest, "volumeMounts": config}
    whole = yaml.safe_dump({"spec": {"containers": [container], "volumes": manifest}})
    seen = {MANIFEST: wild[0], "/etc/kubernetes/manifests/b.yaml": Seen("file", 1, whole), "/etc/ssl/certs/x": wild[1]}
    found = named.paths_named(seen | {"/etc/kubernetes/manifests/c.yaml": pod("--x=/etc/ssl/certs/x")}, kubelet)
    assert all(each.path.startswith("/") and "/../" not in f"{each.path}/" and each.path.isprintable() for each in found)


@given(st.text())
def test_any_text_is_read(content: str) -> None:
    named.paths_named({MANIFEST: Seen("file", 1, content), "/etc/kubernetes/admin.conf": Seen("file", 1, content)}, content)


def test_what_a_host_says_of_files() -> None:
    said = "file 5 L2E= eDogMQ==\nmissing 0 L2I= \nkubelet LS1hPS9i\n"
    look = named_files.parse(Answer(0, said))
    assert look == named_files.Look({"/a": Seen("file", 5, "x: 1"), "/b": Seen("missing")}, "--a=/b")


@pytest.mark.parametrize("said", ["folder 5 L2E= \n", "file 5\n", "file x L2E= \n", "file 5 %% \n"])
def test_nonsense_of_a_host_is_an_error(said: str) -> None:
    with pytest.raises(ValueError):
        named_files.parse(Answer(0, said))


def test_paths_of_a_host() -> None:
    assert named_files.parse_paths(Answer(0, "L2EAL2IgYwA=\n")) == ("/a", "/b c")
    assert named_files.parse_paths(Answer(0, "")) == ()


def test_what_kubeadm_makes_is_not_copied_to_another_host() -> None:
    """With the flags that kubeadm itself writes there is nothing to copy: each host has its own."""
    flags = [
        *(
            "client-ca-file=ca.crt",
            "etcd-cafile=etcd/ca.crt",
            "etcd-certfile=apiserver-etcd-client.crt",
            "etcd-keyfile=apiserver-etcd-client.key",
        ),
        *("kubelet-client-certificate=apiserver-kubelet-client.crt", "kubelet-client-key=apiserver-kubelet-client.key"),
        *("proxy-client-cert-file=front-proxy-client.crt", "proxy-client-key-file=front-proxy-client.key"),
        *(
            "requestheader-client-ca-file=front-proxy-ca.crt",
            "service-account-key-file=sa.pub",
            "service-account-signing-key-file=sa.key",
        ),
        *(
            "tls-cert-file=apiserver.crt",
            "tls-private-key-file=apiserver.key",
            "cert-file=etcd/server.crt",
            "peer-key-file=etcd/peer.key",
        ),
        *("cluster-signing-cert-file=ca.crt", "key-file=etcd/server.key", "peer-cert-file=etcd/peer.crt"),
    ]
    pki = "/etc/kubernetes/pki"
    words = [f"--{name}={pki}/{path}" for name, path in (flag.split("=") for flag in flags)]
    mounts = [
        *USUAL,
        volume(pki),
        volume("/etc/kubernetes/audit-policy.yaml", "File"),
        volume("/etc/kubernetes/scheduler.conf", "FileOrCreate"),
    ]
    seen = {MANIFEST: pod(*words, "--audit-policy-file=/etc/kubernetes/audit-policy.yaml", volumes=mounts)}
    found = named.paths_named(seen, "--kubeconfig=/etc/kubernetes/kubelet.conf --config=/var/lib/kubelet/config.yaml")
    seen |= {each.path: Seen("directory" if each.path == pki else "file", 1) for each in found}
    assert len(found) > len(flags)
    assert named.select(found, seen, {}, MADE, directories=False).save == ()


def test_files_are_sent_and_placed_with_their_owners_and_never_over_others(tmp_path: Path) -> None:
    """The script itself, in a root directory of its own: a link is replaced by its content, a file that is there stays."""
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "srv/real").mkdir(parents=True)
    (source / "srv/real").chmod(0o711)
    (source / "srv/real/ca.pem").write_text("ca")
    (source / "srv/real/ca.pem").chmod(0o640)
    (source / "srv/link.pem").symlink_to("real/ca.pem")
    (target / "srv/real").mkdir(parents=True)
    (target / "srv/real").chmod(0o755)
    (target / "pki").mkdir()
    (target / "certs").symlink_to("pki")
    (source / "certs").mkdir()
    (source / "certs/x.pem").write_text("x")
    (target / "srv/real/ca.pem").write_text("of this host")
    paths = "PATHS=(/srv/link.pem /srv/real/ca.pem /certs/x.pem '/srv/a b')"
    text = (HOST_SCRIPTS / "named-copy.sh").read_text()

    def here(action: str, top: Path, data: bytes = b"") -> bytes:
        program = text.replace("-C / ", f"-C {top} ").replace('-e "$path"', f'-e "{top}$path"')
        words = ["bash", "-c", f"umask 077; ACTION={action}; {paths}\n{program}"]
        return subprocess.run(words, input=data, capture_output=True, check=False).stdout

    assert named_files.parse_paths(Answer(0, here("lacking", target).decode())) == ("/srv/link.pem", "/certs/x.pem", "/srv/a b")
    here("place", target, here("send", source))
    assert (target / "srv/link.pem").read_text() == "ca"
    assert not (target / "srv/link.pem").is_symlink()
    assert stat.S_IMODE((target / "srv/link.pem").stat().st_mode) == 0o640
    assert (target / "srv/real/ca.pem").read_text() == "of this host"
    assert stat.S_IMODE((target / "srv/real").stat().st_mode) == 0o755
    assert (target / "pki/x.pem").read_text() == "x"
