"""An API server on loopback that stores ConfigMaps as the real one does, over TLS with client certificates, and can be told to go wrong.

It is a real server: refused, hanging and cut connections are real ones.
"""

from __future__ import annotations

import json
import ssl
import subprocess
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

VERSION = "v1.34.9"
Answer = tuple[int, dict[str, Any]]


def openssl(directory: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=directory, check=True, capture_output=True)


EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
RSA = ("-newkey", "rsa:2048")  # as kubeadm's


def certificates(directory: Path, kind: tuple[str, ...] = EC) -> None:
    """Make a CA, a certificate of the server for 127.0.0.1 and one of a client, with openssl."""
    key = [*kind, "-nodes"]
    usage = ["-addext", "keyUsage=critical,keyCertSign", "-addext", "basicConstraints=critical,CA:TRUE"]
    openssl(directory, "req", "-x509", *key, *usage, "-subj", "/CN=kubernetes", "-keyout", "ca.key", "-out", "ca.crt")
    for name, subject in (("server", "/CN=kube-apiserver"), ("client", "/O=system:masters/CN=kubernetes-admin")):
        extension = ["-addext", "subjectAltName=IP:127.0.0.1"] if name == "server" else []
        openssl(directory, "req", *key, *extension, "-subj", subject, "-keyout", f"{name}.key", "-out", f"{name}.csr")
        signed = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-copy_extensions", "copy"]
        openssl(directory, "x509", "-req", "-in", f"{name}.csr", *signed, "-days", "2", "-out", f"{name}.crt")


def kubeconfig(directory: Path) -> str:
    """Return an admin.conf as kubeadm writes it."""
    ca, certificate, key = (
        b64encode((directory / name).read_bytes()).decode() for name in ("ca.crt", "client.crt", "client.key")
    )
    return (
        "apiVersion: v1\nkind: Config\nclusters:\n- name: c\n  cluster:\n"
        f"    server: https://10.1.1.100:6443\n    certificate-authority-data: {ca}\n"
        f"users:\n- name: u\n  user:\n    client-certificate-data: {certificate}\n    client-key-data: {key}\n"
    )


@dataclass
class Store:
    """What etcd would hold; several servers may share one. ``events`` are (revision, type, object)."""

    revision: int = 100
    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    before: dict[str, dict[str, Any]] = field(default_factory=dict)
    spaces: set[str] = field(default_factory=set)
    events: list[tuple[int, str, dict[str, Any]]] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def put(self, path: str, found: dict[str, Any], *, told: bool = True) -> dict[str, Any]:
        with self.changed:
            self.revision += 1
            stored = {**found, "metadata": {**found["metadata"], "resourceVersion": str(self.revision)}}
            if path in self.objects:
                self.before[path] = self.objects[path]
            self.objects[path] = stored
            if told:
                self.events.append((self.revision, "MODIFIED", stored))
            self.changed.notify_all()
        return stored

    def restore(self, copy: dict[str, dict[str, Any]], revision: int = 0) -> None:
        """Go back to older objects, as etcd does when it is restored from a snapshot; its revisions go back too, or are raised."""
        with self.changed:
            self.objects, self.events = dict(copy), []
            self.revision = revision or self.revision + 1000

    def take(self, path: str) -> bool:
        with self.changed:
            self.revision += 1
            gone = self.objects.pop(path, None)
            if gone:
                self.events.append((self.revision, "DELETED", gone))
            self.changed.notify_all()
        return bool(gone)


class Api(ThreadingHTTPServer):
    """The server. Its faults are switched while it runs.

    status   every answer but those of watches is this one.
    hang     requests get no answer while this is true; ``only``: which of them, by method.
    cut      connections are cut when a request comes.
    writes   "drop": acknowledges and does not store; "late": stores when it has been read four times since it acknowledged;
             "cut": stores, and cuts the connection in place of an answer; "late-cut": cuts it, and stores then; "none-cut": cuts
             it and does not store.
    reads    "old": answers the version before the last one.
    watches  "skip": leaves an event out; "repeat": sends each twice; "swap": sends two in the wrong order; "gone": 410; "cut"; "silent".
    """

    daemon_threads = True
    request_queue_size = 100

    def __init__(self, directory: Path, store: Store | None = None, port: int = 0) -> None:
        self.store = store or Store()
        self.status = 0
        self.hang = self.cut = False
        self.only = ""
        self.writes = self.reads = self.watches = ""
        self.late: list[Any] = []  # what is stored later: path, object, reads until then
        self.asked: list[str] = []
        self._sockets: set[Any] = set()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(directory / "server.crt", directory / "server.key")
        self._context.load_verify_locations(directory / "ca.crt")
        self._context.verify_mode = ssl.CERT_REQUIRED
        super().__init__(("127.0.0.1", port), Handler)

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def finish_request(self, request: Any, client_address: Any) -> None:
        with suppress(OSError):
            wrapped = self._context.wrap_socket(request, server_side=True)
            self._sockets.add(wrapped)
            try:
                super().finish_request(wrapped, client_address)
            finally:
                self._sockets.discard(wrapped)
                wrapped.close()

    def cut_all(self) -> None:
        """Cut every connection that there is."""
        for each in list(self._sockets):
            with suppress(OSError):
                each.shutdown(2)

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Api

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        if "watch=1" in self.path and not self.server.hang:
            self._watch()
        else:
            self._serve(self._get)

    def do_PUT(self) -> None:
        self._serve(self._put)

    def do_POST(self) -> None:
        self._serve(self._post)

    def do_DELETE(self) -> None:
        self._serve(self._delete)

    def _serve(self, act: Callable[[], Answer | None]) -> None:
        api = self.server
        api.asked.append(f"{self.command} {self.path}")
        self.given = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"null")
        if api.cut:
            self._cut()
            return
        while api.hang and api.only in {"", self.command}:
            time.sleep(0.01)
        answer = (api.status, {"kind": "Status"}) if api.status else act()
        if answer is None:
            self._cut()
            return
        status, found = answer
        body = json.dumps(found).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _cut(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(2)

    def _get(self) -> Answer:
        store, path = self.server.store, self.path
        if path == "/version":
            return 200, {"gitVersion": VERSION}
        found = store.objects.get(path)
        self._store_late(path)
        if self.server.reads == "old":
            found = store.before.get(path, found)
        return (200, found) if found else (404, {"kind": "Status"})

    def _store_late(self, path: str) -> None:
        with self.server.store.changed:
            late = self.server.late
            if late and late[0] == path:
                late[2] -= 1
                if late[2] == 0:
                    self.server.late = []
                    self.server.store.put(path, late[1])

    def _put(self) -> Answer | None:
        api, path = self.server, self.path
        there = api.store.objects.get(path)
        if not there:
            return 404, {"kind": "Status"}
        if self.given["metadata"].get("resourceVersion") not in {None, there["metadata"]["resourceVersion"]}:
            return 409, {"kind": "Status"}
        if api.writes in {"drop", "late"}:
            lie = {**self.given, "metadata": {**self.given["metadata"], "resourceVersion": str(api.store.revision + 1)}}
            if api.writes == "late":
                api.late = [path, self.given, 4]
            api.writes = ""
            return 200, lie
        if api.writes == "late-cut":
            version = there["metadata"]["resourceVersion"]
            threading.Timer(0.3, self._put_late, (api.store, path, self.given, version)).start()
        elif api.writes == "cut":
            api.store.put(path, self.given)
        if api.writes:
            api.writes = ""
            return None
        return 200, api.store.put(path, self.given, told=self._told())

    def _told(self) -> bool:
        api = self.server
        if api.watches == "skip":
            api.watches = ""
            return False
        return True

    @staticmethod
    def _put_late(store: Store, path: str, given: dict[str, Any], version: str) -> None:
        if store.objects[path]["metadata"]["resourceVersion"] == version:
            store.put(path, given)

    def _post(self) -> Answer:
        store, name = self.server.store, self.given["metadata"]["name"]
        if self.given["kind"] == "Namespace":
            if name in store.spaces:
                return 409, {"kind": "Status"}
            store.spaces.add(name)
            return 201, self.given
        path = f"{self.path}/{name}"
        if self.path.split("/")[4] not in store.spaces:
            return 404, {"kind": "Status"}
        return (409, {"kind": "Status"}) if path in store.objects else (201, store.put(path, self.given))

    def _delete(self) -> Answer:
        store = self.server.store
        if "/configmaps/" not in self.path:
            there = self.path.split("/")[4] in store.spaces
            store.spaces.discard(self.path.split("/")[4])
            return (200 if there else 404), {"kind": "Status"}
        return (200 if store.take(self.path) else 404), {"kind": "Status"}

    def _watch(self) -> None:
        api = self.server
        last = int(parse_qs(urlsplit(self.path).query)["resourceVersion"][0])
        api.asked.append(f"WATCH {last}")
        if api.status:
            self.send_error(api.status)
            return
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if api.watches == "gone":
            api.watches = ""
            self._chunk({"type": "ERROR", "object": {"kind": "Status", "code": 410}})
            self.wfile.write(b"0\r\n\r\n")
            return
        while api.watches != "cut":
            for revision, kind, found in self._due(last):
                for _ in range(2 if api.watches == "repeat" else 1):
                    self._chunk({"type": kind, "object": found})
                api.watches = api.watches.replace("repeat", "")
                last = max(last, revision)
        api.watches = ""
        self._cut()

    def _due(self, last: int) -> list[tuple[int, str, dict[str, Any]]]:
        """Return the events after revision ``last``, when there are some, or none after a while."""
        api, store = self.server, self.server.store
        with store.changed:
            store.changed.wait_for(lambda: any(each[0] > last for each in store.events), 0.05)
            fresh = [each for each in store.events if each[0] > last]
        if api.watches == "silent":
            time.sleep(0.05)
            return []
        if api.watches == "swap":
            if len(fresh) < 2:
                time.sleep(0.01)
                return []
            api.watches = ""
            return fresh[1::-1]
        return fresh

    def _chunk(self, event: dict[str, Any]) -> None:
        line = json.dumps(event).encode() + b"\n"
        half = len(line) // 2  # an event may come in several chunks
        for part in (line[:half], line[half:]):
            self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            self.wfile.flush()


@contextmanager
def serving(directory: Path, store: Store | None = None, port: int = 0) -> Iterator[Api]:
    """Run a server; leaving the block closes its port and every connection, at once."""
    api = Api(directory, store, port)
    thread = threading.Thread(target=api.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield api
    finally:
        api.hang = False
        api.shutdown()
        api.server_close()
        api.cut_all()
