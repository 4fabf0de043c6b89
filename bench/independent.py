"""An independent client of an API server: plain sockets and TLS, a thread for each request, nothing of this project. Run by bench.drill_accuracy.

    python independent.py <SETTINGS

SETTINGS is one line of JSON: address, port, path, ca, certificate, key (PEM), every_ms, timeout_s. Prints, until standard input ends:

    ask START SECONDS RESULT PORT     a request on a new connection: RESULT is the HTTP status or "-REASON", PORT this side's
    syn TIME PORT                     anybody's new connection from here to that address and port, as the kernel saw it go out

Times are seconds since 1970. Without the right to see packets there is no "syn".
"""

import json
import os
import socket
import ssl
import struct
import sys
import threading
import time

SO_TIMESTAMPNS = 35
OUTGOING = 4
IPV4 = 0x0800


def context(ca: str, certificate: str, key: str) -> ssl.SSLContext:
    """Return TLS with a client certificate, which is on no disk."""
    made = ssl.create_default_context(cadata=ca)
    made.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", ssl.VerifyFlags(0))
    held = os.memfd_create("login")
    with open(held, "w", closefd=True) as file:  # noqa: PTH123 - a descriptor
        file.write(f"{certificate}\n{key}\n")
        file.flush()
        made.load_cert_chain(f"/proc/self/fd/{held}")
    return made


def ask(tls: ssl.SSLContext, address: str, port: int, path: str, timeout_s: float) -> None:
    """Make one request on a new connection and print what came of it."""
    started, began, own = time.time(), time.monotonic(), 0
    left = lambda: max(began + timeout_s - time.monotonic(), 0.001)  # noqa: E731
    try:
        with socket.create_connection((address, port), left()) as plain:
            own = plain.getsockname()[1]
            with tls.wrap_socket(plain, server_hostname=address) as connection:
                connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n".encode())
                said = b""
                while b"\r\n\r\n" not in said:
                    connection.settimeout(left())
                    if not (more := connection.recv(65536)):
                        break
                    said += more
                result = said.split()[1].decode() if said.startswith(b"HTTP/1.") and b"\r\n\r\n" in said else "-closed"
    except TimeoutError:
        result = "-hang"
    except OSError as error:
        result = f"-{type(error).__name__}"
    say(f"ask {started:.6f} {time.monotonic() - began:.6f} {result} {own}")


def listen(address: str, port: int) -> None:
    """Print each TCP connection that is opened from this network to ``address`` and ``port``. Only looks."""
    try:
        seen = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(IPV4))
        target = socket.inet_aton(address)
    except OSError:  # not root, or IPv6
        return
    seen.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    while True:
        packet, ancillary, _, (_, _, kind, *_) = seen.recvmsg(64, 64)
        length = (packet[0] & 15) * 4
        if kind != OUTGOING or packet[9] != socket.IPPROTO_TCP or packet[16:20] != target:
            continue
        own, to = struct.unpack_from("!HH", packet, length)
        if to == port and packet[length + 13] & 0x12 == 0x02:  # SYN without ACK
            at = next((struct.unpack("ll", data) for _, which, data in ancillary if which == SO_TIMESTAMPNS), None)
            moment = at[0] + at[1] / 1e9 if at else time.time()
            say(f"syn {moment:.6f} {own}")


def say(line: str) -> None:
    """Print a line in one piece."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    told = json.loads(sys.stdin.readline())
    tls, every_s = context(told["ca"], told["certificate"], told["key"]), told["every_ms"] / 1000
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    threading.Thread(target=listen, args=(told["address"], told["port"]), daemon=True).start()
    what = (tls, told["address"], told["port"], told["path"], told["timeout_s"])
    asking: list[threading.Thread] = []
    planned = time.monotonic()
    while not ended.wait(max(planned - time.monotonic(), 0)):
        asking = [each for each in asking if each.is_alive()]
        asking.append(threading.Thread(target=ask, args=what, daemon=True))
        asking[-1].start()
        planned = max(planned + every_s, time.monotonic())
    for each in asking:
        each.join()


if __name__ == "__main__":
    main()
