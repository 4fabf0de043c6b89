#!/bin/bash
# paramiko 5.1.0 leaves Nagle's algorithm on, on the connections that SSHClient.connect (and so Fabric) opens. A channel is closed and the next
# one is opened by several small messages in a row: all but the first wait until the server has acknowledged the one before, which a Linux server
# does 40 ms later. A command on a connection that is open already takes 40 ms longer than it has to, on any network.
# Where it matters: tools that run many short commands on a host. OpenSSH's ssh sets TCP_NODELAY when a terminal is used; asyncssh always.
# `client.get_transport().sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)` after connect() takes the wait away.
# Shown on loopback with asyncssh's server: the median of 40 commands, as it is and with the option set. Exits 0 while the first is at least
# 25 ms above the second, 1 once that has changed.
set -euo pipefail
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
python3 -m venv "$directory/venv"
"$directory/venv/bin/pip" install -q paramiko==5.1.0 asyncssh==2.21.1
"$directory/venv/bin/python" - <<'PYTHON'
import asyncio
import socket
import statistics
import sys
import threading
import time

import asyncssh
import paramiko


class Anybody(asyncssh.SSHServer):
    def begin_auth(self, username):
        return False


async def answered(process):
    process.stdout.write("done\n")
    process.exit(0)


def serve(ready):
    async def main():
        key = asyncssh.generate_private_key("ssh-ed25519")
        server = await asyncssh.create_server(Anybody, "127.0.0.1", 0, server_host_keys=[key], process_factory=answered)
        ready.append(server.get_port())
        await asyncio.sleep(3600)

    asyncio.run(main())


def median_ms(port, nodelay):
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(paramiko.MissingHostKeyPolicy())
    client.connect("127.0.0.1", port, username="anybody", password="", allow_agent=False, look_for_keys=False)
    plain = client.get_transport().sock
    found = plain.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    if nodelay:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    took = []
    for _ in range(40):
        begun = time.monotonic()
        _, stdout, _ = client.exec_command("anything")
        assert stdout.read() == b"done\n"
        took.append((time.monotonic() - begun) * 1000)
    client.close()
    return found, statistics.median(took)


ready = []
threading.Thread(target=serve, args=(ready,), daemon=True).start()
while not ready:
    time.sleep(0.05)
option, slow = median_ms(ready[0], nodelay=False)
_, quick = median_ms(ready[0], nodelay=True)
print(f"paramiko {paramiko.__version__}: TCP_NODELAY is {option}; a command takes {slow:.0f} ms, with the option {quick:.0f} ms")
sys.exit(0 if option == 0 and slow - quick >= 25 else 1)
PYTHON
