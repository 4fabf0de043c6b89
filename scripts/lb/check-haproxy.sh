#!/bin/sh
# keepalived's check (installed by `inv lb.setup`): does the HAProxy of this host answer on its own socket? It has two tries.
# Never asks for the API servers: when they are all down, moving the VIP helps nobody.
answers() {
    [ -n "$(echo 'show info' | timeout 0.45 socat -T0.4 - UNIX-CONNECT:/run/haproxy/admin.sock 2>/dev/null)" ]
}
answers || answers
