#!/bin/bash
# Invoke 2.2.1: a task's help texts are given out once. Building a parser's contexts from a collection (what `inv --list` and `inv --help`
# do) takes each text out of the task's `help` mapping, so that contexts built a second time from the same tasks, in the same process, have
# none, and say nothing about it.
# Where it matters: a program or a test that lists commands and afterwards looks up a flag's help in the same process.
# Exits 0 while that is so, 1 once it has changed.
set -euo pipefail
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
python3 -m venv "$directory/venv"
"$directory/venv/bin/pip" install -q invoke==2.2.1
"$directory/venv/bin/python" - <<'PYTHON'
import sys

import invoke
from invoke import Collection, task


@task(help={"name": "who is greeted"})
def greet(c, name="you"):
    """Greet somebody."""


tasks = Collection(greet)
first, second = (tasks.to_contexts()[0].args["name"].help for _ in range(2))
print(f"invoke {invoke.__version__}: help of --name is {first!r} at first, {second!r} the second time; task.help is now {greet.help!r}")
sys.exit(0 if first == "who is greeted" and second is None and greet.help == {} else 1)
PYTHON
