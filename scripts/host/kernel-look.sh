# Variables: MODULES (array), SYSCTL_FILE. Prints the kernel setup that Kubernetes needs. Read-only.
# shellcheck shell=bash disable=SC2154
for module in "${MODULES[@]}"; do
    if [ -d "/sys/module/$module" ] || grep -qs "/$module\\.ko" "/lib/modules/$(uname -r)/modules.builtin"; then echo "module $module"
    elif [ "$module" = br_netfilter ] && [ -e /proc/sys/net/bridge/bridge-nf-call-iptables ]; then echo "module $module"
    elif [ "$module" = overlay ] && grep -qw overlay /proc/filesystems; then echo "module $module"; fi
done
if [ -r "$SYSCTL_FILE" ]; then
    while IFS='= ' read -r key value; do
        case $key in '' | '#'*) continue ;; esac
        now=$(sysctl -n "$key" 2>/dev/null)
        [ "$now" = "$value" ] || echo "differs $key is ${now:-missing}"
    done <"$SYSCTL_FILE"
fi
while read -r name _; do if [ "$name" != Filename ]; then echo "swap $name"; fi; done </proc/swaps
if grep -Eqs '^[^#][^ 	]*[ 	]+[^ 	]+[ 	]+swap[ 	]' /etc/fstab; then echo "swap /etc/fstab"; fi
true
