#!/bin/bash
# HAProxy 2.6.12 (Debian 12) takes the port of a server from the server state file (`load-server-state-from-file`), and its address from the
# configuration: after both were changed there, it goes to the new address and the old port. That stays so when the server's
# maintenance, for which the file was kept, is ended through the runtime socket; only the next start without that line of the file ends it.
# Where it matters: whoever keeps "show servers state" over a reload, so that servers in maintenance stay in maintenance, has to give the
# lines the ports of the new configuration first.
# Exits 0 while that is so, 1 once it has changed. Needs apt-get with a mirror of Debian 12, and perl; HAProxy listens on a socket file only.
set -euo pipefail
shopt -s inherit_errexit
directory=$(mktemp -d)
haproxy=''
trap '[ -z "$haproxy" ] || kill "$haproxy"; rm -rf "$directory"' EXIT
cd "$directory"
# shellcheck disable=SC2016 # the format of apt-get, not ours
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Codename: bookworm' | head -n 1)
[ -n "$mirror" ] || { echo 'apt-get has no mirror of Debian 12 here' >&2 && exit 2; }
mkdir -p lists/partial cache/archives/partial
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror bookworm main" >sources.list
options=(-q -o "Dir::Etc::SourceList=$PWD/sources.list" -o Dir::Etc::SourceParts=/dev/null -o "Dir::State::Lists=$PWD/lists" -o "Dir::Cache=$PWD/cache"
    -o Acquire::Languages=none -o APT::Sandbox::User=root)
apt-get "${options[@]}" update >/dev/null 2>&1
apt-get "${options[@]}" download 'haproxy=2.6.12*' 'liblua5.3-0' 'libopentracing-c-wrapper0' 'libopentracing1' >/dev/null 2>&1 ||
    apt-get "${options[@]}" download 'haproxy=2.6.12*' 'liblua5.3-0' >/dev/null 2>&1
for package in ./*.deb; do dpkg -x "$package" root; done
LD_LIBRARY_PATH=$(dirname "$(find root -name 'liblua5.3.so.0')")
export LD_LIBRARY_PATH

configuration() { # ADDRESS:PORT
    printf '%s\n' global "    stats socket $PWD/socket level admin" "    server-state-file $PWD/states" \
        defaults '    mode tcp' '    load-server-state-from-file global' '    timeout connect 1s' '    timeout client 1s' '    timeout server 1s' \
        'backend b' "    server s $1" >haproxy.cfg
}
ask() { perl -MIO::Socket::UNIX -e '$socket = IO::Socket::UNIX->new("socket") or exit 1; print $socket "$ARGV[0]\n"; print <$socket>' "$1"; }
state() { ask 'show servers state' | awk '$4 == "s" { print $5, $7, $19 }'; } # address, administrative state, port
start() {
    root/usr/sbin/haproxy -db -f haproxy.cfg >log 2>&1 &
    haproxy=$!
    for _ in {1..100}; do [ -S socket ] && ask 'show info' >/dev/null 2>&1 && return; sleep 0.05; done
    cat log >&2
    exit 2
}
end() {
    kill "$haproxy"
    wait "$haproxy" || true
    rm -f socket
}
configuration 127.0.0.1:1001
start
ask 'set server b/s state maint' >/dev/null
ask 'show servers state' >states
first=$(state)
end
configuration 127.0.0.2:2002
start
second=$(state)
ask 'set server b/s state ready' >/dev/null
third=$(state)
end
haproxy=''
echo "configured as 127.0.0.1 port 1001, in maintenance: $first"
echo "configured as 127.0.0.2 port 2002, with the file: $second; its maintenance ended: $third"
[ "$first" = '127.0.0.1 1 1001' ] && [ "$second" = '127.0.0.2 1 1001' ] && [ "$third" = '127.0.0.2 0 1001' ]
