"""Run a command of ours and write down what it sends to each host: `python -m bench.many.record FILE inv WORD...`."""

from __future__ import annotations

import base64
import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from runbooks.engine import ssh
from runbooks.engine.channel import exchange
from runbooks.engine.start import session_script

SENT: dict[str, list[dict[str, str]]] = defaultdict(list)


def recorded(channel: Any, line: str, command: Any, flow: Any = None) -> Any:
    """As `exchange`, and keep the line and its standard input by the host's address."""
    program = command.program.encode()
    given = session_script() + f"{len(program)} {command.timeout:g}\n".encode() + program
    address = channel.get_transport().getpeername()[0]
    SENT[address].append({"line": line, "stdin": base64.b64encode(given).decode()})
    return exchange(channel, line, command, flow)


def main() -> None:
    from invoke.main import program  # noqa: PLC0415 - after `exchange` was replaced

    path = Path(sys.argv[1])
    ssh.exchange = recorded
    sys.argv = sys.argv[2:]
    try:
        program.run()
    finally:
        path.write_text(json.dumps(SENT))


if __name__ == "__main__":
    main()
