#!/bin/sh
# keepalived's checks of this host's HAProxy, asked on its own socket (installed by `inv lb.setup`).
#   answers   it answers at all; it has two tries
#   masters   it does not say that it can use no API server (no word is for `answers` to judge)
ask() { echo "$1" | timeout 0.45 socat -T0.4 - UNIX-CONNECT:/run/haproxy/admin.sock 2>/dev/null; }
case ${1:-answers} in
answers) [ -n "$(ask 'show info')" ] || [ -n "$(ask 'show info')" ] ;;
masters) ! ask 'show stat -1 2 -1' | grep -q '^api,BACKEND,.*,DOWN,' ;;
*) exit 64 ;;
esac
