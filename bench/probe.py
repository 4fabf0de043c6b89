"""The client: a fresh connection every 20 ms, each on its own, so that a slow one never delays the next. Run by bench.probing.

    python probe.py ADDRESS PORT EVERY_MS TIMEOUT_S LONGEST_S

Prints "start seconds result" a line (start is CLOCK_MONOTONIC, result the name that the server said, or "-REASON"). A probe
counts only when bytes of a server came back. Ends when standard input does, or after LONGEST_S.
"""

import asyncio
import socket
import sys
import time


async def ask(address: str, port: int) -> str:
    """Return what the server says first on a new connection."""
    loop = asyncio.get_running_loop()
    with socket.socket() as client:
        client.setblocking(False)
        await loop.sock_connect(client, (address, port))
        await loop.sock_sendall(client, b"who\n")
        said = await loop.sock_recv(client, 100)
    return said.decode().strip() or "-closed"


async def probe(address: str, port: int, timeout_s: float) -> None:
    """Ask once and print what came of it."""
    started = time.monotonic()
    try:
        result = await asyncio.wait_for(ask(address, port), timeout_s)
    except TimeoutError:
        result = "-timeout"
    except OSError as error:
        result = f"-{type(error).__name__}"
    print(f"{started:.6f} {time.monotonic() - started:.6f} {result}", flush=True)


async def main(address: str, port: int, every_s: float, timeout_s: float, longest_s: float) -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), ended.set)
    probes = set()
    at = time.monotonic()
    end = at + longest_s
    while not ended.is_set() and at < end:
        task = asyncio.create_task(probe(address, port, timeout_s))
        probes.add(task)
        task.add_done_callback(probes.discard)
        at = max(at + every_s, time.monotonic())
        await asyncio.sleep(at - time.monotonic())
    if probes:
        await asyncio.wait(probes)


if __name__ == "__main__":
    _, where, which, every, limit, longest = sys.argv
    asyncio.run(main(where, int(which), float(every) / 1000, float(limit), float(longest)))
