"""The files of the container runtime: what hosts.yaml adds to them, for containerd 1.x and 2.x, and what stays as it was."""

import stat
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.cluster import containerd_toml, prepare, runtime
from runbooks.cluster.files import node_files
from runbooks.cluster.runtime_files import config_for, containerd_file, problems, runtime_files
from runbooks.commands.base import Secret
from runbooks.commands.files import File, Found
from runbooks.commands.prepare import CONTAINERD_CONFIG
from runbooks.commands.runtime_files import PARTS
from runbooks.errors import InventoryError, PrecheckError
from runbooks.inventory.load import load_site
from runbooks.inventory.model import Site
from runbooks.rules.no_proxy import no_proxy
from runbooks.upgrade.containerd_state import wanted_file
from tests.unit.cluster.test_kubeadm_config import described

pytestmark = pytest.mark.unit

PAUSE = "k8s/pause:3.9"
CERTS = "/etc/containerd/certs.d"
OLD, IMAGES, RUNTIME = "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime"
LOGIN = {"host": "docker.io", "login": {"user": "puller", "password_env": "WORD"}}
PASSWORDS = {"docker.io": Secret('a "quoted\\word"')}


@pytest.fixture
def make(tmp_path):
    return lambda **keys: described(tmp_path, containerd=keys)


def by_path(site: Site, major: int = 1) -> dict[str, File]:
    return {file.path: file for file in runtime_files(site, PAUSE, major, PASSWORDS)}


def parsed(site: Site, major: int = 1) -> dict[str, Any]:
    return tomllib.loads(by_path(site, major)[CONTAINERD_CONFIG].content)


def test_a_login_is_for_the_host_that_is_asked_and_only_root_reads_it(make) -> None:
    site = make(registries=[LOGIN])
    auth = {"username": "puller", "password": PASSWORDS["docker.io"]}
    wanted = {"configs": {"registry-1.docker.io": {"auth": auth}}, "config_path": CERTS}
    assert parsed(site)["plugins"][OLD]["registry"] == wanted
    assert parsed(site, 2)["plugins"][IMAGES]["registry"] == wanted
    assert by_path(site)[CONTAINERD_CONFIG].mode == "0600"
    assert "PASSWORD" in containerd_file(site, PAUSE, 1).content, "pages have a placeholder"
    assert containerd_file(make(), PAUSE, 1).mode == "0644"


def test_runtimes_besides_runc(make) -> None:
    given_ = {
        "kata": {"type": "io.containerd.kata.v2", "options": {"ConfigPath": "/opt/kata.toml"}},
        "crun": {"type": "io.containerd.runc.v2"},
    }
    site = make(runtimes=given_)
    wanted = {
        "runc": {"runtime_type": "io.containerd.runc.v2", "options": {"SystemdCgroup": True}},
        "kata": {"runtime_type": "io.containerd.kata.v2", "options": {"ConfigPath": "/opt/kata.toml"}},
        "crun": {"runtime_type": "io.containerd.runc.v2", "options": {"SystemdCgroup": True}},
    }
    assert parsed(site)["plugins"][OLD]["containerd"]["runtimes"] == wanted
    assert parsed(site, 2)["plugins"][RUNTIME]["containerd"]["runtimes"] == wanted


def test_a_part_goes_where_the_containerd_of_its_version_imports_it(make, tmp_path: Path) -> None:
    for number in (2, 3):
        (tmp_path / f"v{number}.toml").write_text(f"version = {number}\noom_score = -999\n")
    site = make(files=["v2.toml", "v3.toml"], root="/data/containerd")
    assert {path for path in by_path(site) if path.startswith(PARTS)} == {f"{PARTS}/v2/v2.toml", f"{PARTS}/v3/v3.toml"}
    for major in (1, 2):
        found = parsed(site, major)
        assert found["imports"] == [f"{PARTS}/v{major + 1}/*.toml"]
        assert found["root"] == "/data/containerd"
    (tmp_path / "v2.toml").write_text(f'version = 2\n[plugins."{OLD}"]\n')
    assert [key for key, _ in problems(site)] == ["kubernetes.containerd.files[0]"]
    with pytest.raises(InventoryError, match=r"files\[0\]: .*v2.toml has \[plugins"):
        node_files(site, site.workers[0], PAUSE)


def test_what_is_read_at_every_pull(make, tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n")
    registries = [
        {"host": "docker.io", "mirrors": ["https://a.example:5000", "https://b.example/v2/proxy/"], "ca": "ca.crt"},
        {"host": "own.example:5000", "skip_verify": True},
        {"host": "alone.example", "ca": "ca.crt"},
    ]
    site = make(registries=registries)
    found = by_path(site)
    own = f"{CERTS}/docker.io/ha-runbooks-ca.crt"
    assert tomllib.loads(found[f"{CERTS}/docker.io/hosts.toml"].content) == {
        "host": {
            "https://a.example:5000": {"capabilities": ["pull", "resolve"], "ca": own},
            "https://b.example/v2/proxy": {"capabilities": ["pull", "resolve"], "override_path": True, "ca": own},
        }
    }
    assert tomllib.loads(found[f"{CERTS}/own.example:5000/hosts.toml"].content) == {"skip_verify": True}
    assert tomllib.loads(found[f"{CERTS}/alone.example/hosts.toml"].content) == {
        "ca": f"{CERTS}/alone.example/ha-runbooks-ca.crt"
    }
    assert found[own].content == (tmp_path / "ca.crt").read_text()
    assert all(runtime.is_quiet(path) is path.startswith(CERTS) for path in found)
    (tmp_path / "ca.crt").write_text("-----BEGIN PRIVATE KEY-----\n")
    assert [key for key, _ in problems(site)] == [
        "kubernetes.containerd.registries[0].ca",
        "kubernetes.containerd.registries[2].ca",
    ]


def test_the_proxy_is_never_asked_for_the_cluster(make, tmp_path: Path) -> None:
    path = tmp_path / "hosts.yaml"
    make()
    path.write_text(f"{path.read_text()}baseline: {{proxy: {{https: 'https://p.example:3128/a%20b', no_proxy: [.example]}}}}\n")
    site = load_site(path).site
    files = {path: file.content for path, file in by_path(site).items() if "service.d" in path}
    assert list(files) == [
        f"/etc/systemd/system/{unit}.service.d/zz-ha-runbooks-proxy.conf" for unit in ("containerd", "kubelet")
    ]
    (text,) = set(files.values())
    assert 'Environment="HTTPS_PROXY=https://p.example:3128/a%%20b"' in text, "systemd makes one % of two"
    assert "HTTP_PROXY=" not in text
    entries = no_proxy(site).split(",")
    assert f'Environment="NO_PROXY={",".join(entries)}"' in text
    assert {"localhost", "10.1.1.0/24", "10.244.0.0/16", "10.96.0.0/12", "10.1.1.100", ".svc", ".cluster.local"} < {*entries}
    assert not {host.name for host in site.hosts} & {*entries}, "a new host would change the file of all the others"
    assert entries[-1] == ".example"


def test_a_host_keeps_a_form_that_says_the_same_and_an_upgrade_to_2_keeps_everything(make) -> None:
    site = make(registries=[LOGIN], runtimes={"other": {"type": "io.containerd.runc.v2"}})
    forms = [
        containerd_file(site, PAUSE, number, cni=cni, passwords=PASSWORDS) for number, cni in ((1, True), (1, False), (2, True))
    ]
    for form in forms:
        there = Found(form.content, form.mode, form.owner)
        assert config_for(site, there, PAUSE, 2, (), PASSWORDS) == form
    assert config_for(site, Found("mine", "0644", "root:root"), PAUSE, 2, (), PASSWORDS) == forms[2]
    assert config_for(site, None, PAUSE, 1, ("/usr/lib/cni",), PASSWORDS) == forms[1]
    before = Found(forms[0].content, "0600", "root:root")
    assert wanted_file(site, before, PAUSE, 2, (), PASSWORDS) == forms[2]
    assert wanted_file(site, before, PAUSE, 2, (), {"docker.io": Secret("other")}) is None, "not ours as it stands: it stays"


def test_what_is_left_to_do_on_a_host(make) -> None:
    site = make(registries=[{"host": "docker.io", "mirrors": ["https://a.example"]}])
    wanted = list(by_path(site).values())
    there = {file.path: Found(file.content, file.mode, file.owner) for file in wanted}
    assert not runtime.compared(wanted, there)
    gone = [f"{CERTS}/quay.io/hosts.toml", f"{PARTS}/v2/a.toml", *runtime.PROXY_PARTS]
    stray = (
        there
        | dict.fromkeys(gone, Found("# Written by ha-runbooks", "0644", "root:root"))
        | {"/etc/crictl.yaml": Found("", "0644", "")}
    )
    assert runtime.compared(wanted, stray).remove == gone
    opened = there | {CONTAINERD_CONFIG: Found(there[CONTAINERD_CONFIG].content, "0666", "root:root")}
    assert runtime.compared(wanted, opened).paths == [CONTAINERD_CONFIG]


def test_prepare_replaces_no_symbolic_link(make) -> None:
    site = make(registries=[{"host": "docker.io", "mirrors": ["https://a.example"]}])
    host, links = site.workers[0], [f"{CERTS}/docker.io/hosts.toml"]
    state: Any = SimpleNamespace(joined=False, packages={})

    def read(_: object, probe: Any) -> Any:
        there = {path: Found("", "link", "", link="/elsewhere") for path in links}
        return there if str(probe.command).startswith("files-found") else state

    run: Any = SimpleNamespace(read=read)
    with pytest.raises(PrecheckError, match="symbolic link") as caught:
        prepare._fits(run, site, host)
    assert f'cp --remove-destination "$(readlink -f {links[0]})" {links[0]}' in str(caught.value.hint)
    state.joined = True
    prepare._fits(run, site, host)
    state.joined, links[:] = False, []
    prepare._fits(run, site, host)


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]))
VALUES = st.recursive(
    st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=12,
)


@given(st.dictionaries(TEXT, VALUES))
def test_any_options_are_toml_that_says_the_same(options: dict[str, Any]) -> None:
    lines = "".join(f"{containerd_toml.word(key)} = {containerd_toml.value(each)}\n" for key, each in options.items())
    assert tomllib.loads(lines) == options


def test_files_without_a_secret_are_for_everybody_and_parts_for_root(make, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("version = 2\n")
    modes = {path: int(file.mode, 8) for path, file in by_path(make(files=["a.toml"])).items()}
    assert modes[CONTAINERD_CONFIG] & stat.S_IROTH
    assert not modes[f"{PARTS}/v2/a.toml"] & stat.S_IROTH, "the owner may have written a password into it"
