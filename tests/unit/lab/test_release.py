"""A release is fetched from a mirror on this machine's loopback: checked, resumed, and never half used."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from lab import kube_release, release_sources
from lab.kube_etcd import PROGRAMS as ETCD
from lab.kube_parts import NEEDED_PLUGINS
from lab.kubernetes import PROGRAMS, Flags, chosen
from runbooks.errors import InventoryError, OutcomeError, PrecheckError

pytestmark = pytest.mark.unit
VERSION = "v1.36.2"
KUBEADM = "#!/bin/sh\n[ $1 = config ] && echo r/pause:3.10.2 r/etcd:3.6.8-0 || echo v1.36.2\n"
ARCHITECTURE = release_sources.ARCHITECTURES.get(os.uname().machine, "amd64")


def archive(files: dict[str, str]) -> bytes:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(text), 0o644 if name.endswith("LICENSE") else 0o755
            tar.addfile(entry, io.BytesIO(text.encode()))
    return whole.getvalue()


class Mirror:
    """What a server has, by path; ``asked`` is what it was asked for, ``breaks`` the paths whose next answer ends in the middle."""

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
    monkeypatch.setattr(kube_release, "PAUSE_S", 0)
    return tmp_path / "releases"


def names(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}


def test_everything_that_the_lab_needs_is_fetched_once(mirror: Mirror, kept: Path) -> None:
    with serving(mirror) as url:
        path = kube_release.fetched("1.36.2", url, print)
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
        kube_release.fetched(VERSION, url, print)
    assert sha256(b"something else").hexdigest() in str(caught.value)
    assert names(kept) == {".lock"}


@pytest.mark.parametrize("text", ["", "no checksum", f"{'0' * 64}  of-another-file", f"{'0' * 64}\n{'1' * 64}"])
def test_a_file_without_a_checksum_is_refused(mirror: Mirror, kept: Path, text: str) -> None:
    mirror.files[mirror.path("kubectl.sha256")] = text.encode()
    with serving(mirror) as url, pytest.raises(OutcomeError, match="has no checksum of kubectl"):
        kube_release.fetched(VERSION, url, print)
    assert names(kept) == {".lock"}


def test_a_connection_that_breaks_is_taken_up_where_it_broke(mirror: Mirror) -> None:
    mirror.breaks = {mirror.path("kubelet")}
    with serving(mirror) as url:
        path = kube_release.fetched(VERSION, url, print)
    half = len(mirror.files[mirror.path("kubelet")]) // 2
    assert [wanted for asked, wanted in mirror.asked if asked.endswith("/kubelet")] == ["", f"bytes={half}-"]
    assert (path / "kubelet").read_bytes() == mirror.files[mirror.path("kubelet")]


@pytest.mark.parametrize("ranges", [True, False])
def test_the_next_call_goes_on_after_a_killed_one(mirror: Mirror, kept: Path, ranges: bool) -> None:
    work = kept / f".new-{VERSION}-{ARCHITECTURE}"
    work.mkdir(parents=True)
    (work / "kubeadm").write_text(KUBEADM)
    (work / "kubelet.part").write_bytes(mirror.files[mirror.path("kubelet")][:100])
    (work / "kubectl.part").write_bytes(b"of another release")
    (work / "kube-proxy.part").write_bytes(mirror.files[mirror.path("kube-proxy")])  # whole, but not yet checked
    (work / "kube-scheduler").write_bytes(b"cut short by a power failure")
    mirror.ranges = ranges
    with serving(mirror) as url:
        path = kube_release.fetched(VERSION, url, print)
    asked = [asked.rpartition("/")[2] for asked, _ in mirror.asked]
    assert "kubeadm" not in asked
    for name in PROGRAMS:
        assert (path / name).read_bytes() == mirror.files[mirror.path(name)], name
    assert not [name for name in names(path) if name.endswith(".part")]


def test_what_is_not_there_and_a_server_that_is_not_there(mirror: Mirror, kept: Path) -> None:
    del mirror.files[mirror.path("kube-proxy")]
    with serving(mirror) as url, pytest.raises(PrecheckError, match=r"/kube-proxy: 404 .*: there is no such release") as caught:
        kube_release.fetched(VERSION, url, print)
    assert "--mirror URL" in str(caught.value.hint)
    with pytest.raises(PrecheckError, match=r"/kubeadm\.sha256 cannot be fetched: .*refused") as caught:
        kube_release.fetched(VERSION, url, print)
    assert "--kubernetes DIR" in str(caught.value.hint)
    assert not (kept / f"{VERSION}-{ARCHITECTURE}").exists()
    with pytest.raises(PrecheckError, match="cannot be fetched"):
        kube_release.fetched("1.99.0", url, print)
    assert not (kept / f".new-v1.99.0-{ARCHITECTURE}").exists()


@pytest.mark.parametrize(
    ("version", "url", "said"), [("1.36", "http://127.0.0.1", "no version"), ("1.36.2", "/srv/mirror", "no address")]
)
def test_what_was_asked_for_wrongly(version: str, url: str, said: str) -> None:
    with pytest.raises(InventoryError, match=said):
        kube_release.fetched(version, url, print)


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
