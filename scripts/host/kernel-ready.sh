# Variables: MODULES (array), SYSCTL_FILE, SWAP (off or keep). Loads modules, applies the sysctl file, switches swap off permanently.
# Earlier versions wrote a file with a name that others come after.
# shellcheck shell=bash disable=SC2154
set -eu
for module in "${MODULES[@]}"; do
    modprobe -- "$module" || echo "modprobe $module failed" >&2 # not fatal: it may be built in; checked afterwards
done
sysctl -q -p "$SYSCTL_FILE"
rm -f -- /etc/sysctl.d/90-ha-runbooks-kubernetes.conf
[ "$SWAP" = off ] || exit 0
swapoff -a
if grep -Eqs '^[^#][^ 	]*[ 	]+[^ 	]+[ 	]+swap[ 	]' /etc/fstab; then
    cp -p /etc/fstab /etc/fstab.before-ha-runbooks
    sed -E 's/^([^#][^ \t]*[ \t]+[^ \t]+[ \t]+swap[ \t])/# switched off by ha-runbooks: \1/' /etc/fstab.before-ha-runbooks >/etc/fstab.new
    chmod --reference=/etc/fstab /etc/fstab.new
    sync -- /etc/fstab.new
    mv -f -- /etc/fstab.new /etc/fstab
    systemctl daemon-reload
fi
# Swap units that are not in fstab (zram, swap partitions found by type) would start again at boot.
systemctl list-units --plain --no-legend --all --type=swap | awk '{ print $1 }' | xargs -r systemctl mask --now -- >/dev/null 2>&1 || true
