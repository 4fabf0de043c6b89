"""A registry in the lab's network: it has one small image under every name, may ask for a login, and writes down what it was asked.

As a program: `registry.py PORT LOG [USER:PASSWORD]`.
https://github.com/opencontainers/distribution-spec/blob/main/spec.md
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from lab.control import Lab
from tests.support.waiting import eventually

ADDRESS = "10.1.1.1"  # of the machine itself, in the lab's network


def digest(data: bytes) -> str:
    return f"sha256:{sha256(data).hexdigest()}"


def image() -> tuple[bytes, dict[str, bytes]]:
    """Return the manifest of an image with one file, and its blobs by digest."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as layer:
        layer.addfile(tarfile.TarInfo("hello"))
    data = packed.getvalue()
    config = json.dumps(
        {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": [digest(data)]}}
    ).encode()
    kind = "application/vnd.oci.image"
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{kind}.manifest.v1+json",
        "config": {"mediaType": f"{kind}.config.v1+json", "digest": digest(config), "size": len(config)},
        "layers": [{"mediaType": f"{kind}.layer.v1.tar", "digest": digest(data), "size": len(data)}],
    }
    return json.dumps(manifest).encode(), {digest(config): config, digest(data): data}


def serve(port: int, log: Path, login: str) -> None:
    """Serve until it is killed."""
    manifest, blobs = image()
    wanted = f"Basic {b64encode(login.encode()).decode()}"

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if login and self.headers.get("Authorization") != wanted:
                self.answer(401, b"", {"WWW-Authenticate": 'Basic realm="lab"'})
            elif "/manifests/" in self.path:
                self.answer(
                    200,
                    manifest,
                    {"Content-Type": "application/vnd.oci.image.manifest.v1+json", "Docker-Content-Digest": digest(manifest)},
                )
            else:
                name = self.path.partition("?")[0].rpartition("/")[2]
                self.answer(200 if name in blobs or self.path == "/v2/" else 404, blobs.get(name, b""), {})

        do_HEAD = do_GET  # noqa: N815 - the name that http.server calls

        def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            with log.open("a") as file:
                file.write(f"{self.command} {self.path} {status}\n")
            self.send_response(status)
            for name, text in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, text)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    ThreadingHTTPServer((ADDRESS, port), Handler).serve_forever()


@contextmanager
def registry(lab: Lab, port: int, log: Path, login: str = "") -> Iterator[None]:
    """Run one in the network of ``lab`` at ADDRESS, ``port``. ``login``: USER:PASSWORD that it asks for, "" for nobody."""
    log.touch()
    words = [sys.executable, "-m", "tests.support.registry", str(port), str(log), *([login] if login else [])]
    server = subprocess.Popen(["ip", "netns", "exec", lab.instance.namespace, *words], cwd=Path(__file__).parents[2])
    try:
        eventually(lambda: lab.exec("worker1", ["curl", "-s", "-o", "/dev/null", f"http://{ADDRESS}:{port}/v2/"]).returncode, 0)
        yield
    finally:
        server.kill()
        server.wait()


if __name__ == "__main__":
    serve(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else "")
