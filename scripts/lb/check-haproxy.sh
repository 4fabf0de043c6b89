#!/bin/sh
# keepalived's check (installed by `inv lb.setup`): does the HAProxy of this host answer on its own socket?
# Never asks for the API servers: when they are all down, moving the VIP helps nobody.
[ -n "$(echo 'show info' | timeout 0.8 socat -T0.7 - UNIX-CONNECT:/run/haproxy/admin.sock 2>/dev/null)" ]
