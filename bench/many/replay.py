"""The same scripts over asyncssh: `python replay.py FILE USER KEY KNOWN_HOSTS`. On every host `true` first; all hosts at the same time."""

import asyncio
import base64
import json
import sys
from pathlib import Path

import asyncssh  # type: ignore[import-not-found]


async def one(address: str, sent: list[dict[str, str]], options: asyncssh.SSHClientConnectionOptions) -> None:
    async with asyncssh.connect(address, options=options) as connection:
        await connection.run("true", check=True)
        for each in sent:
            # Standard input stays open, as ours does: its end would tell session.sh that the operator is gone.
            async with connection.create_process(each["line"], encoding=None) as process:
                process.stdin.write(base64.b64decode(each["stdin"]))
                await process.stdout.read()


async def main(path: str, user: str, key: str, known_hosts: str) -> None:
    sent = json.loads(Path(path).read_text())
    options = asyncssh.SSHClientConnectionOptions(
        username=user, client_keys=[key], known_hosts=known_hosts, config=None, agent_path=None, login_timeout=120
    )
    await asyncio.gather(*(one(address, each, options) for address, each in sent.items()))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
