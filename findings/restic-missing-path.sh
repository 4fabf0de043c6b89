#!/bin/bash
# restic 0.14.0 (also seen: 0.18.0): `restic backup` of two paths of which one does not exist ends with exit status 0. It says "does not exist,
# skipping" on standard error and makes a snapshot of the other one. The manual has an exit status of its own, 3, for source files that could
# not be read; 0.19.1 exits with 3 here, too.
# Where it matters: a backup by hand or from cron that lists the paths of a set. A mistyped or vanished path is in no snapshot, and the job is
# green. Compare the snapshot with what should be in it (`restic ls --json`), or test each path before.
# Exits 0 while that is so, 1 once it has changed. Needs apt-get with the package of Debian 12; the repository is a directory.
set -euo pipefail
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"
apt-get -q download 'restic=0.14.0-1*' >/dev/null 2>&1
dpkg -x restic_*.deb root
export RESTIC_REPOSITORY=$directory/repository RESTIC_PASSWORD=example RESTIC_CACHE_DIR=$directory/cache
restic() { root/usr/bin/restic -q "$@"; }
restic init
mkdir there
echo content >there/file
code=0
restic backup there not-there >/dev/null 2>said || code=$?
snapshots=$(restic snapshots --json | grep -o '"paths":\[[^]]*\]' | sed "s#$directory/##g")
echo "$(root/usr/bin/restic version | cut -d' ' -f1,2): exit status $code; $(sed "s#$directory/##" said); snapshots: $snapshots"
[ "$code $snapshots" = '0 "paths":["there"]' ] && grep -q 'not-there does not exist, skipping' said
