"""Measures what clients of the twin's VIP see: `python -m rehearse.clients RESULT`, until it is told to stop or its input ends."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from runbooks.engine.session import Options, session
from runbooks.errors import RunbookError
from runbooks.measure.start import kubeconfig_of, measuring, plan_for


def main(result: Path) -> None:
    """Print "ready" once it measures, or why it cannot."""
    with session(Options()) as opened:
        try:
            plan = plan_for(opened.site, kubeconfig_of(opened.run), result)
            with measuring(opened.site, plan) as begun:
                print("ready", flush=True)
                os.read(0, 100)
                with suppress(RunbookError):  # what was seen until then is in the file
                    begun.stop()
        except RunbookError as error:
            print(str(error).partition("\n")[0], flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
