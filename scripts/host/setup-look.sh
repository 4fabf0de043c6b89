# Variables: MODULES, SYSCTLS, PROGRAMS, TIME_SERVICES (arrays). What was prepared on this host for Kubernetes, and what undoes it at the
# next boot or has undone it, one "key value" a line. Read-only.
# shellcheck shell=bash disable=SC2154
builtin() { grep -qs "/$1\\.ko" "/lib/modules/$(uname -r)/modules.builtin"; }
loaded() {
    [ -d "/sys/module/$1" ] || builtin "$1" || case $1 in
    br_netfilter) [ -e /proc/sys/net/bridge/bridge-nf-call-iptables ] ;;
    overlay) grep -qw overlay /proc/filesystems ;;
    *) false ;;
    esac
}
for module in "${MODULES[@]}"; do
    if loaded "$module"; then state=there; elif modprobe -n -q -- "$module" 2>/dev/null; then state=loadable; else state=missing; fi
    echo "module $module $state"
    name=${module//_/[-_]} # for modprobe, both are the same
    builtin "$module" || grep -rlsE --include='*.conf' "^[[:space:]]*(blacklist[[:space:]]+${name}|install[[:space:]]+${name}[[:space:]]+(/usr)?/bin/(true|false))[[:space:]]*\$" \
        /etc/modprobe.d /run/modprobe.d /usr/lib/modprobe.d | sed -n "1s|^|barred $module |p"
done
for key in "${SYSCTLS[@]}"; do
    value=''
    read -r value 2>/dev/null <"/proc/sys/${key//.//}"
    echo "sysctl $key ${value:-missing}"
done
# What systemd-sysctl reads at boot, in its order.
systemd-analyze cat-config sysctl.d 2>/dev/null | sed -n 's|^# \(/.*\.conf\)$|boot # \1|p; /^[[:space:]]*[#;]/d; /forward\|bridge\|[*?[]/s/^/boot /p'
while read -r name _; do if [ "$name" != Filename ]; then echo "swap $name"; fi; done </proc/swaps
if grep -Eqs '^[^#][^ 	]*[ 	]+[^ 	]+[ 	]+swap[ 	]' /etc/fstab; then
    echo "swap_at_boot /etc/fstab"
else
    for path in /{etc,run,usr/lib}/systemd/{system,generator,generator.late}/*.{wants,requires}/*.swap; do
        name=${path##*/}
        # A unit that is masked is a link to /dev/null.
        if [ -L "$path" ] && [ ! /dev/null -ef "/etc/systemd/system/$name" ]; then echo "swap_at_boot $name"; fi
    done
fi
if [ "$(systemctl is-enabled zramswap 2>/dev/null)" = enabled ]; then echo "swap_at_boot zramswap.service"; fi
packages_look "${PROGRAMS[@]}"
containerd_dump
container=$(systemd-detect-virt --container 2>/dev/null)
echo "container ${container:-unknown}"
case $container in
none | '')
    systemctl is-active "${TIME_SERVICES[@]}" 2>/dev/null | grep -qx active && echo "time runs"
    echo "synchronized $(timeout 3 timedatectl show -p NTPSynchronized --value 2>/dev/null)"
    ;;
esac
true
