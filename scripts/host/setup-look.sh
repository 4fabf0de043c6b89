# Variables: MODULES, SYSCTLS, PROGRAMS, TIME_SERVICES (arrays). Needs container.sh, packages-look.sh and containerd-dump.sh
# before it. What was prepared on this host for Kubernetes, and what undoes it at the next boot or has undone it, one "key value" a line.
# Read-only.
# shellcheck shell=bash disable=SC2154
built_in=$(IFS='|' && grep -Es "/(${MODULES[*]})\\.ko" "/lib/modules/$(</proc/sys/kernel/osrelease)/modules.builtin")
builtin() { [[ $built_in == *"/$1.ko"* ]]; }
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
for path in /{etc,run}/systemd/system/*.{wants,requires}/zramswap.service; do
    if [ -e "$path" ] && [ ! /dev/null -ef /etc/systemd/system/zramswap.service ]; then echo "swap_at_boot zramswap.service" && break; fi
done
packages_look "${PROGRAMS[@]}"
containerd_dump
container=$(container_kind)
echo "container $container"
case $container in
none | unknown)
    systemctl is-active "${TIME_SERVICES[@]}" 2>/dev/null | grep -qx active && echo "time runs"
    echo "synchronized $(timeout 3 timedatectl show -p NTPSynchronized --value 2>/dev/null)"
    ;;
esac
true
