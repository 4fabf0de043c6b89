# Variables: STATE (MASTER, BACKUP or FAULT), FILE (where `lb-hook` records it). Records it as keepalived's state of one VIP.
# shellcheck shell=bash disable=SC2154
set -eu
umask 022
mkdir -p "${FILE%/*}"
echo "$STATE $(date +%s)" >"$FILE"
hook=/usr/libexec/keepalived/ha-runbooks/lb-hook
[ ! -x "$hook" ] || "$hook" metrics || true # one from before monitoring does not know the word
