"""An independent client of an API server: plain sockets and TLS, a thread for each request, nothing of this project. Run by bench.drill_accuracy.

    python independent.py <SETTINGS

SETTINGS is one line of JSON: address, port, path, ca, certificate, key (PEM), every_ms, timeout_s. Prints, until standard input ends:

    ask START SECONDS RESULT PORT     a request on a new connection: RESULT is the HTTP status or "-REASON", PORT this side's
    syn TIME PORT                     anybody's new connection from here to that address and port, as the kernel saw it go out

Times are seconds since 1970. Without the right to see packets there is no "syn".
"""

import contextlib
import ctypes
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
ALL = 3
SO_ATTACH_FILTER = 26


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


def opens(address: bytes, port: int) -> bytes:
    """Return the program for the kernel that lets only IPv4 packets pass that open a TCP connection to ``address`` and ``port``."""
    load8, load16, load32, equal, both, done = 0x30, 0x28, 0x20, 0x15, 0x54, 0x06
    steps = [
        (load8, 9, socket.IPPROTO_TCP),
        (load32, 16, int.from_bytes(address, "big")),
        (load16, 22, port),  # a SYN of ours has no IP options
        (load8, 33, 0x02),
    ]
    code: list[tuple[int, int, int, int]] = []
    for number, (load, at, wanted) in enumerate(steps):
        code.append((load, 0, 0, at))
        if at == 33:
            code.append((both, 0, 0, 0x12))
        left = sum(3 if each[1] == 33 else 2 for each in steps[number + 1 :])
        code.append((equal, 0, left + 1, wanted))
    code += [(done, 0, 0, 0xFFFF), (done, 0, 0, 0)]
    return b"".join(struct.pack("HBBI", *each) for each in code)


def listen(address: str, port: int) -> None:
    """Print each TCP connection that is opened from this network to ``address`` and ``port``. Only looks."""
    try:
        program = opens(socket.inet_aton(address), port)
        held = ctypes.create_string_buffer(program, len(program))
        seen = socket.socket(
            socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ALL)
        )  # only one for all protocols sees what goes out
        seen.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", len(program) // 8, ctypes.addressof(held)))
        seen.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    except OSError:  # not root, or IPv6
        return
    with contextlib.suppress(BlockingIOError):  # what came before the filter
        while True:
            seen.recv(64, socket.MSG_DONTWAIT)
    while True:
        packet, ancillary, _, (_, _, kind, *_) = seen.recvmsg(64, 64)
        if kind == OUTGOING:
            at = next((struct.unpack("ll", data) for _, which, data in ancillary if which == SO_TIMESTAMPNS), None)
            say(f"syn {at[0] + at[1] / 1e9 if at else time.time():.6f} {struct.unpack_from('!H', packet, 20)[0]}")


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
