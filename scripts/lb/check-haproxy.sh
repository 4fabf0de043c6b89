#!/bin/sh
# keepalived's checks of this host's HAProxy, through its runtime socket (installed by `inv lb.setup`).
#   answers   succeeds when HAProxy answers; tries twice
#   masters   fails when HAProxy says that no API server is up; succeeds when HAProxy does not answer, which `answers` reports
ask() { echo "$1" | timeout 0.45 socat -T0.4 - UNIX-CONNECT:/run/haproxy/admin.sock 2>/dev/null; }
case ${1:-answers} in
answers) [ -n "$(ask 'show info')" ] || [ -n "$(ask 'show info')" ] ;;
masters) ! ask 'show stat -1 2 -1' | grep -q '^api,BACKEND,.*,DOWN,' ;;
*) exit 64 ;;
esac
