# Variables: STATE (MASTER, BACKUP or FAULT). Records it as keepalived's state, in the same file as `lb-hook state` does.
# shellcheck shell=bash disable=SC2154
set -eu
umask 022
echo "$STATE $(date +%s)" >/run/ha-runbooks/vrrp_state
hook=/usr/libexec/keepalived/ha-runbooks/lb-hook
[ ! -x "$hook" ] || "$hook" metrics || true # one from before monitoring does not know the word
