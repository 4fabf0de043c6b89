"""A stand-in for a kube-apiserver: TLS with /readyz for HAProxy's check, and a plain word for the probe. Run by bench.twin.

    python api_server.py NAME ADDRESS PORT CERT DELAY

A connection that starts with a TLS hello gets TLS and ``200`` for any request; any other gets NAME, without the cost of a
handshake for every probe. After ``hold`` the connection stays open, as a watch does. The answer over TLS comes after as many seconds as the
file DELAY says; at once when there is none.
"""

import socket
import socketserver
import ssl
import sys
import time
from pathlib import Path

HELLO = b"\x16"


class Api(socketserver.ThreadingTCPServer):
    """One listening API server."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 512

    def __init__(self, name: str, address: str, port: int, certificate: str, delay: Path) -> None:
        self.name, self.delay = name, delay
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(certificate)
        super().__init__((address, port), Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: peers that go away are what this is for."""


class Handler(socketserver.BaseRequestHandler):
    """One connection."""

    server: Api
    request: socket.socket

    def handle(self) -> None:
        self.request.settimeout(10)
        name = self.server.name.encode()
        if self.request.recv(1, socket.MSG_PEEK) != HELLO:
            hold = self.request.recv(16).startswith(b"hold")
            self.request.sendall(name + b"\n")
            if hold:
                self.request.settimeout(None)
                self.request.recv(1)
            return
        with self.server.tls.wrap_socket(self.request, server_side=True) as channel:
            channel.recv(4096)
            if self.server.delay.exists():
                time.sleep(float(self.server.delay.read_text()))
            channel.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(name), name))


def main(name: str, address: str, port: str, certificate: str, delay: str) -> None:
    with Api(name, address, int(port), certificate, Path(delay)) as server:
        print("ready", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
