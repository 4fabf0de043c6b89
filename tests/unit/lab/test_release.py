"""A release is fetched from a mirror on this machine's loopback: checked, resumed, and never half used."""

from __future__ import annotations

import gzip
import io
import os
import re
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.client import HTTPMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.request import Request

import pytest
from invoke import Context

from lab import download, kube_release, machine, release_sources, tasks
from lab.kube_choice import Flags, chosen
from lab.kube_etcd import PROGRAMS as ETCD
from lab.kube_parts import NEEDED_PLUGINS
from lab.kubernetes import PROGRAMS
from runbooks.errors import DiskError, InventoryError, OutcomeError, PrecheckError

pytestmark = pytest.mark.unit
VERSION = "v1.36.2"
KUBEADM = "#!/bin/sh\n[ $1 = config ] && echo r/pause:3.10.2 r/etcd:3.6.8-0 || echo v1.36.2\n"
ARCHITECTURE = release_sources.ARCHITECTURES.get(os.uname().machine, "amd64")
NAME = f"{VERSION}-{ARCHITECTURE}-cni-{release_sources.CNI_VERSION}"


def archive(files: dict[str, str]) -> bytes:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(text), 0o644 if name.endswith("LICENSE") else 0o755
            tar.addfile(entry, io.BytesIO(text.encode()))
    return whole.getvalue()


class Mirror:
    """What a server has, by path; ``asked`` is what it was asked for, ``breaks`` the paths whose next answer ends in the middle,
    ``moved`` where a path's answer sends on to."""

    def __init__(self) -> None:
        own = {name: f"{name} of {VERSION}\n" * 1000 for name in PROGRAMS} | {"kubeadm": KUBEADM}
        here = f"/kubernetes/{VERSION}/bin/linux/{ARCHITECTURE}"
        self.files = {f"{here}/{name}": text.encode() for name, text in own.items()}
        self.files |= {f"{path}.sha256": sha256(content).hexdigest().encode() for path, content in self.files.items()}
        cni, etcd = f"cni-plugins-linux-{ARCHITECTURE}-{release_sources.CNI_VERSION}.tgz", f"etcd-v3.6.8-linux-{ARCHITECTURE}"
        self.named(
            f"/cri-tools/v1.36.0/crictl-v1.36.0-linux-{ARCHITECTURE}.tar.gz", archive({"crictl": "crictl", "../../evil": "x"})
        )
        self.named(
            f"/cni-plugins/{release_sources.CNI_VERSION}/{cni}",
            archive({f"./{name}": name for name in (*NEEDED_PLUGINS, "LICENSE")}),
        )
        content = archive({f"{etcd}/{name}": name for name in (*ETCD, "README.md")})
        self.files[f"/etcd/v3.6.8/{etcd}.tar.gz"] = content
        self.files["/etcd/v3.6.8/SHA256SUMS"] = (
            f"{'0' * 64}  other.tar.gz\n{sha256(content).hexdigest()}  {etcd}.tar.gz\n".encode()
        )
        self.asked: list[tuple[str, str]] = []
        self.breaks: set[str] = set()
        self.moved: dict[str, str] = {}
        self.ranges = True

    def named(self, path: str, content: bytes) -> None:
        self.files[path] = content
        self.files[f"{path}.sha256"] = f"{sha256(content).hexdigest()}  {path.rpartition('/')[2]}\n".encode()

    def path(self, name: str) -> str:
        return next(path for path in self.files if path.endswith(f"/{name}"))


@pytest.fixture
def mirror() -> Mirror:
    return Mirror()


@contextmanager
def serving(mirror: Mirror) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range", "")
            mirror.asked.append((self.path, wanted))
            if self.path in mirror.moved:
                self.send_response(302)
                self.send_header("Location", mirror.moved[self.path])
                self.end_headers()
                return
            content = mirror.files.get(self.path)
            if content is None:
                self.send_error(404)
                return
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and mirror.ranges else 0
            if wanted and start >= len(content):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            broken = self.path in mirror.breaks
            mirror.breaks.discard(self.path)
            self.wfile.write(content[start : start + (len(content) - start) // 2] if broken else content[start:])

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache's directory of releases; nothing waits between tries."""
    monkeypatch.setenv("HA_LAB_CACHE", str(tmp_path))
    monkeypatch.setattr(download, "PAUSE_S", 0)
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    return tmp_path / "releases"


def fetched(version: str, mirror: str, say: Callable[[str], None]) -> Path:
    return kube_release.fetched(version, release_sources.chosen(mirror), say)


def names(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}


def test_everything_that_the_lab_needs_is_fetched_once(mirror: Mirror, kept: Path) -> None:
    with serving(mirror) as url:
        path = fetched("1.36.2", url, print)
        assert len(mirror.asked) == len(mirror.files)
    assert names(path) == {*PROGRAMS, "crictl", *ETCD, *(f"cni/{name}" for name in NEEDED_PLUGINS)}
    assert all(os.access(path / name, os.X_OK) for name in names(path))
    assert (path / "kubelet").read_bytes() == mirror.files[mirror.path("kubelet")]
    assert not list(kept.glob(".new-*"))
    # No server any more, and none is needed. Both ways to write it name the same.
    assert chosen(Flags(kubernetes="v1.36.2", mirror=url), print) == chosen(Flags(kubernetes="1.36.2"), print)


@pytest.mark.parametrize("name", ["kubelet", f"etcd-v3.6.8-linux-{ARCHITECTURE}.tar.gz"])
def test_a_wrong_checksum_is_a_refusal_that_leaves_nothing(mirror: Mirror, kept: Path, name: str) -> None:
    mirror.files[mirror.path(name)] = b"something else"
    with serving(mirror) as url, pytest.raises(OutcomeError, match=f"{name} is not what http.* says") as caught:
        fetched(VERSION, url, print)
    assert sha256(b"something else").hexdigest() in str(caught.value)
    assert names(kept) == {".lock"}


@pytest.mark.parametrize("text", ["", "no checksum", f"{'0' * 64}  of-another-file", f"{'0' * 64}\n{'1' * 64}"])
def test_a_file_without_a_checksum_is_refused(mirror: Mirror, kept: Path, text: str) -> None:
    mirror.files[mirror.path("kubectl.sha256")] = text.encode()
    with serving(mirror) as url, pytest.raises(PrecheckError, match="has no checksum of kubectl"):
        fetched(VERSION, url, print)
    assert {f".new-{NAME}/{name}" for name in ("kubeadm", "kubelet")} <= names(kept)
    mirror.files[mirror.path("kubectl.sha256")] = sha256(mirror.files[mirror.path("kubectl")]).hexdigest().encode()
    mirror.asked.clear()
    with serving(mirror) as url:
        fetched(VERSION, url, print)
    assert not [asked for asked, _ in mirror.asked if asked.endswith(("/kubeadm", "/kubelet"))]  # were kept


def test_a_file_of_checksums_that_is_cut_short_is_asked_for_again(mirror: Mirror) -> None:
    mirror.breaks = {mirror.path("kubelet.sha256")}
    with serving(mirror) as url:
        fetched(VERSION, url, print)
    assert len([asked for asked, _ in mirror.asked if asked.endswith("/kubelet.sha256")]) == 2


def test_a_connection_that_breaks_is_taken_up_where_it_broke(mirror: Mirror) -> None:
    mirror.breaks = {mirror.path("kubelet")}
    with serving(mirror) as url:
        path = fetched(VERSION, url, print)
    half = len(mirror.files[mirror.path("kubelet")]) // 2
    assert [wanted for asked, wanted in mirror.asked if asked.endswith("/kubelet")] == ["", f"bytes={half}-"]
    assert (path / "kubelet").read_bytes() == mirror.files[mirror.path("kubelet")]


@pytest.mark.parametrize("ranges", [True, False])
def test_the_next_call_goes_on_after_a_killed_one(mirror: Mirror, kept: Path, ranges: bool) -> None:
    work = kept / f".new-{NAME}"
    work.mkdir(parents=True)
    (work / "kubeadm").write_text(KUBEADM)
    (work / "kubelet.part").write_bytes(mirror.files[mirror.path("kubelet")][:100])
    (work / "kubectl.part").write_bytes(b"of another release")
    (work / "kube-proxy.part").write_bytes(mirror.files[mirror.path("kube-proxy")])  # whole, but not yet checked
    (work / "kube-scheduler").write_bytes(b"cut short by a power failure")
    mirror.ranges = ranges
    with serving(mirror) as url:
        path = fetched(VERSION, url, print)
    asked = [asked.rpartition("/")[2] for asked, _ in mirror.asked]
    assert "kubeadm" not in asked
    for name in PROGRAMS:
        assert (path / name).read_bytes() == mirror.files[mirror.path(name)], name
    assert not [name for name in names(path) if name.endswith(".part")]


def test_what_is_not_there_and_a_server_that_is_not_there(mirror: Mirror, kept: Path) -> None:
    del mirror.files[mirror.path("kube-proxy")]
    with serving(mirror) as url, pytest.raises(PrecheckError, match=r"/kube-proxy: 404 .*: there is no such release") as caught:
        fetched(VERSION, url, print)
    assert "--mirror URL" in str(caught.value.hint)
    with pytest.raises(PrecheckError, match=r"/kubeadm\.sha256 cannot be fetched: .*refused") as caught:
        fetched(VERSION, url, print)
    assert "--kubernetes DIR" in str(caught.value.hint)
    assert not (kept / NAME).exists()
    with pytest.raises(PrecheckError, match="cannot be fetched"):
        fetched("1.99.0", url, print)
    assert not (kept / f".new-{NAME.replace(VERSION, 'v1.99.0')}").exists()


def test_the_first_answer_of_a_server_is_asked_for_once_and_said_before(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    tried: list[float] = []

    def silent(_: object, timeout_s: float) -> None:
        assert said == [
            "Kubernetes v1.36.2 is not in the cache. Fetching up to 0.6 GB from https://dl.k8s.io and https://github.com"
        ]
        tried.append(timeout_s)
        raise download.Fault("timed out")

    monkeypatch.setattr(download, "opened", silent)
    with pytest.raises(PrecheckError, match=r"https://dl\.k8s\.io/.*/kubeadm\.sha256 cannot be fetched: timed out"):
        fetched(VERSION, "", said.append)
    assert tried == [download.CONTACT_S]
    assert names(kept) == {".lock"}


def test_a_mirror_on_loopback_is_asked_without_the_proxy(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # nobody listens there
    with serving(mirror) as url:
        fetched(VERSION, url.replace("127.0.0.1", "localhost"), print)
    with pytest.raises(PrecheckError, match=r"cannot be fetched: .*refused"):  # everything else goes to it
        download.text("http://mirror.invalid/", first=True)


def test_this_machine_itself() -> None:
    hosts = ("127.0.0.1", "127.3.2.1", "::1", "localhost", "10.0.0.1", "localhost.example", "")
    assert [host for host in hosts if download.is_loopback(host)] == ["127.0.0.1", "127.3.2.1", "::1", "localhost"]


def test_a_redirect_is_followed_but_not_from_https_to_http(mirror: Mirror) -> None:
    def sent_on(start: str, to: str) -> Request | None:
        request = Request(start)  # noqa: S310 - nothing is opened
        return download.Redirects().redirect_request(request, io.BytesIO(), 302, "Found", HTTPMessage(), to)

    for start, to in (("https://a/x", "https://b/x"), ("http://a/x", "http://b/x"), ("http://a/x", "https://b/x")):
        found = sent_on(start, to)
        assert found is not None
        assert found.full_url == to
    with pytest.raises(PrecheckError, match=r"https://a/x sends on to an address without https \(b\)"):
        sent_on("https://a/x", "http://b/x")
    mirror.moved[mirror.path("kubelet")] = mirror.path("kubectl")
    mirror.files[mirror.path("kubelet.sha256")] = mirror.files[mirror.path("kubectl.sha256")]
    with serving(mirror) as url:
        path = fetched(VERSION, url, print)
    assert (path / "kubelet").read_bytes() == (path / "kubectl").read_bytes()


def plugins(change: Callable[[bytes], bytes]) -> Callable[[Mirror], None]:
    def replaced(mirror: Mirror) -> None:
        path = mirror.path(f"cni-plugins-linux-{ARCHITECTURE}-{release_sources.CNI_VERSION}.tgz")
        mirror.named(path, change(mirror.files[path]))

    return replaced


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (plugins(lambda _: b"<html>please log in</html>"), "is no whole archive"),
        (plugins(lambda _: b""), "is no whole archive"),
        (plugins(lambda whole: whole[:-20]), "is no whole archive"),
        (plugins(lambda _: gzip.compress(b"no tar" * 1000)), "is no whole archive"),
        (
            plugins(lambda _: archive(dict.fromkeys(("bridge/", "..", "a/.", "x" * 300, "bridge"), "x"))),
            "has no program host-local",
        ),
    ],
    ids=["html", "empty", "short", "no tar", "odd names"],
)
def test_an_archive_that_is_none_is_one_error_that_names_it(
    mirror: Mirror, kept: Path, change: Callable[[Mirror], None], said: str
) -> None:
    change(mirror)
    with serving(mirror) as url, pytest.raises(PrecheckError, match=rf"^http\S*/cni-plugins-linux-\S*\.tgz {said}"):
        fetched(VERSION, url, print)
    assert not (kept / NAME).exists()
    assert f".new-{NAME}/kubelet" in names(kept)


@pytest.mark.parametrize("content", [b"<html>", b"#!/bin/sh\necho no image\n"])
def test_a_kubeadm_that_is_none(mirror: Mirror, content: bytes) -> None:
    path = mirror.path("kubeadm")
    mirror.files[path], mirror.files[f"{path}.sha256"] = content, sha256(content).hexdigest().encode()
    with serving(mirror) as url, pytest.raises(PrecheckError, match=r"^http\S*/kubeadm names no image of etcd"):
        fetched(VERSION, url, print)


def test_a_full_disk_is_no_fault_of_the_network(mirror: Mirror, kept: Path) -> None:
    work = kept / f".new-{NAME}"
    work.mkdir(parents=True)
    (work / "kubelet.part").symlink_to("/dev/full")
    with serving(mirror) as url, pytest.raises(DiskError, match="No space left on device") as caught:
        fetched(VERSION, url, print)
    assert "HA_LAB_CACHE" in caught.value.hint
    assert len([asked for asked, _ in mirror.asked if asked.endswith("/kubelet")]) == 1  # not tried again
    assert (work / "kubeadm").exists()


def test_what_was_half_fetched_long_ago_is_removed(mirror: Mirror, kept: Path) -> None:
    for name, age_s in ((".new-v1.30.1-old", kube_release.GIVEN_UP_S + 60), (".new-v1.31.1-new", 60), (f".new-{NAME}", 10**8)):
        (kept / name).mkdir(parents=True)
        (kept / name / "kubeadm").write_text(KUBEADM)
        os.utime(kept / name, (time.time() - age_s,) * 2)
    with serving(mirror) as url:
        fetched(VERSION, url, print)
    assert {path.name for path in kept.iterdir()} == {".lock", ".new-v1.31.1-new", NAME}
    assert not [asked for asked, _ in mirror.asked if asked.endswith("/kubeadm")]


@pytest.fixture
def nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(request: Request, _: float) -> None:
        raise AssertionError(request.full_url)

    monkeypatch.setattr(download, "opened", opened)


@pytest.mark.usefixtures("nothing_is_fetched")
@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"kubernetes": "1.36.2", "etcd": "3.6"}, "--etcd 3.6: Debian has"),
        ({"kubernetes": "1.36.2", "etcd": "3.5"}, "v1.36.2 and etcd 3.5 cannot run together"),
        ({"kubernetes": "1.36.2", "containerd": "3"}, "--containerd 3: the lab has"),
        ({"kubernetes": "1.22.2", "containerd": "2"}, "v1.22.2 and containerd 2 cannot run together"),
        ({"upgrade": ("1.36.2",)}, "--upgrade needs --kubernetes"),
        ({"kubernetes": "1.36.2", "upgrade": ("1.36.3", "/nowhere")}, "/nowhere: no program kubeadm"),
        ({"kubernetes": "1.36.2", "upgrade": ("1.37",)}, "1.37 is no directory, and no whole version"),
        ({"kubernetes": "1.36"}, "1.36 is no directory, and no whole version"),
        ({"kubernetes": "v1.36.x"}, "v1.36.x is no directory, and no whole version"),
        ({"kubernetes": "1.36.2", "mirror": "/srv/mirror"}, "--mirror /srv/mirror: no address"),
    ],
)
def test_what_is_wrong_is_refused_before_anything_is_requested(flags: dict[str, Any], said: str) -> None:
    with pytest.raises(InventoryError, match=re.escape(said)):
        chosen(Flags(**flags), print)  # type: ignore[arg-type]


@pytest.mark.usefixtures("nothing_is_fetched")
@pytest.mark.parametrize("flags", [{"site": "/nowhere/hosts.yaml"}, {"hosts": "lb1,stranger"}])
def test_a_wrong_site_or_host_is_refused_before_anything_is_requested(
    flags: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "require", lambda: None)
    with pytest.raises(InventoryError, match=next(iter(flags.values())).rpartition(",")[2]):
        tasks.up.body(Context(), kubernetes="1.36.2", **flags)


def test_a_name_and_a_password_in_the_address_of_a_mirror_are_refused_unseen() -> None:
    for url in ("http://me:pa55@127.0.0.1/", "http://me@127.0.0.1", "me:pa55@127.0.0.1"):
        with pytest.raises(InventoryError, match="password") as caught:
            release_sources.chosen(url)
        assert "pa55" not in f"{caught.value} {caught.value.hint}"
        assert "me@" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://[::1", "http://h:port/", "http:///x", "ftp://h/", "http://h/?a=b", "http://a b/", "h"])
def test_what_is_no_address_of_a_mirror(url: str) -> None:
    with pytest.raises(InventoryError, match="no address of a mirror"):
        release_sources.chosen(url)


@pytest.mark.parametrize(
    ("version", "url", "said"), [("1.36", "http://127.0.0.1", "no version"), ("1.36.2", "/srv/mirror", "no address")]
)
def test_what_was_asked_for_wrongly(version: str, url: str, said: str) -> None:
    with pytest.raises(InventoryError, match=said):
        fetched(version, url, print)


def test_the_official_places() -> None:
    sources = release_sources.Sources()
    published = [
        release_sources.program(sources, VERSION, "arm64", "kubeadm"),
        release_sources.crictl(sources, VERSION, "arm64"),
        release_sources.plugins(sources, "arm64"),
        release_sources.etcd(sources, "3.6.8-0", "arm64"),
    ]
    assert all(one.url.startswith("https://") and one.checksums.startswith("https://") for one in published)
    assert [one.name for one in published] == [
        "kubeadm",
        "crictl-v1.36.0-linux-arm64.tar.gz",
        f"cni-plugins-linux-arm64-{release_sources.CNI_VERSION}.tgz",
        "etcd-v3.6.8-linux-arm64.tar.gz",
    ]
