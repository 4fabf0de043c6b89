"""Clients that stay: a few long connections through the VIP, such as watches are. Run by bench.probing.

python held.py ADDRESS PORT COUNT LONGEST_S

Prints "ready" when all are open, then "time server" when one of them ends (CLOCK_MONOTONIC). Ends when standard input does, or
after LONGEST_S.
"""

import asyncio
import contextlib
import sys
import time


async def hold(address: str, port: int, opened: list[str]) -> None:
    """Keep one silent connection open until the other side ends it."""
    reader, writer = await asyncio.open_connection(address, port)
    writer.write(b"hold\n")
    server = (await reader.readline()).decode().strip()
    opened.append(server)
    with contextlib.suppress(OSError):
        await reader.read()
    print(f"{time.monotonic():.6f} {server}", flush=True)


async def main(address: str, port: int, count: int, longest_s: float) -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    opened: list[str] = []
    tasks = [asyncio.create_task(hold(address, port, opened)) for _ in range(count)]
    while len(opened) < count:
        await asyncio.sleep(0.01)
        if any(task.done() for task in tasks):
            sys.exit("the VIP does not answer")
    print("ready", flush=True)
    loop.add_reader(sys.stdin.fileno(), ended.set)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(ended.wait(), longest_s)
    for task in tasks:
        task.cancel()


if __name__ == "__main__":
    _, where, which, how_many, longest = sys.argv
    asyncio.run(main(where, int(which), int(how_many), float(longest)))
