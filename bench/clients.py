"""Watch what clients of a site's VIP see: `RUNBOOKS_SITE=lab:NAME python -m bench.clients [--seconds 60] [--to FILE]`.

For work by hand beside it; Ctrl-C ends it early, with its result. The journal of a run that was made meanwhile (`--journal FILE`) says to
which step a gap belongs.
"""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from runbooks.engine.journal import read
from runbooks.engine.session import Options, session
from runbooks.errors import RunbookError
from runbooks.measure import record
from runbooks.measure.rules.report import lines
from runbooks.measure.rules.steps import spans
from runbooks.measure.rules.verdict import Limits, data
from runbooks.measure.start import kubeconfig_of, measuring, plan_for

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench.clients", description=__doc__)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="how long (default: until Ctrl-C)")
    parser.add_argument("--to", type=Path, help="write the result to this file, as JSON")
    parser.add_argument("--journal", type=Path, help="the journal of a run that is made meanwhile")
    options = parser.parse_args(words)
    try:
        with session(Options()) as opened, TemporaryDirectory() as scratch:
            plan = plan_for(opened.site, kubeconfig_of(opened.run), Path(scratch) / "clients.json")
            with measuring(opened.site, plan) as clients:
                print("measuring; Ctrl-C ends it", flush=True)
                end = time.monotonic() + options.seconds
                with suppress(KeyboardInterrupt):
                    while time.monotonic() < end and clients.process.poll() is None:
                        time.sleep(0.2)
                result = clients.stop()
    except RunbookError as error:
        sys.exit(f"error: {error}\nnext:  {error.hint}")
    if options.to:
        record.write(options.to, result)
    steps = spans(read(options.journal)) if options.journal else ()
    limits = Limits(gap_ms=2000, cuts=len(opened.site.control_plane))
    print("\n".join(lines(result, limits, steps)))
    return 0 if data(result).word == "held" else 1


if __name__ == "__main__":
    sys.exit(main())
