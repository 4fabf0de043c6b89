#!/bin/bash
# Fabric 3.2.3: an attribute that is set on a Connection is a setting of its configuration, and reading it gives a copy. A list that is
# put there is not the list that is found there: what is appended to one is not in the other, and what was appended through the connection
# is gone as soon as any other attribute is set.
# Where it matters: code that keeps its own state (a list of what was seen, a lock) on the connection it belongs to. A value that cannot be
# copied, such as threading.Lock(), is refused with a TypeError. `connection._set(name=value)` keeps the object itself.
# Exits 0 while that is so, 1 once it has changed. Connects to nothing.
set -euo pipefail
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
python3 -m venv "$directory/venv"
"$directory/venv/bin/pip" install -q fabric==3.2.3
"$directory/venv/bin/python" - <<'PYTHON'
import sys

import fabric

mine = ["one"]
connection = fabric.Connection("host.example")
connection.seen = mine
same = connection.seen is mine
mine.append("two")
connection.seen.append("three")
before = list(connection.seen)
connection.other = True
after = list(connection.seen)
connection._set(kept=mine)
print(f"fabric {fabric.__version__}: the same list: {same}; before another attribute is set: {before}, after it: {after}; with _set: {connection.kept}")
sys.exit(0 if (same, before, after, connection.kept is mine) == (False, ["one", "three"], ["one", "two"], True) else 1)
PYTHON
