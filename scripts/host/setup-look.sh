# Variables: MODULES, SYSCTLS, PROGRAMS (empty: nothing of them and of containerd), TIME_SERVICES (arrays). Needs container.sh, packages-look.sh, containerd-dump.sh
# and module-look.sh before it. What was prepared on this host for Kubernetes, and what undoes it at the next boot or has undone it, one "key value" a line.
# Read-only.
# shellcheck shell=bash disable=SC2154
modules_look
for key in "${SYSCTLS[@]}"; do
    value=''
    read -r value 2>/dev/null <"/proc/sys/${key//.//}"
    echo "sysctl $key ${value:-missing}"
done
# What systemd-sysctl reads at boot, in its order.
systemd-analyze cat-config sysctl.d 2>/dev/null | sed -n 's|^# \(/.*\.conf\)$|boot # \1|p; /^[[:space:]]*[#;]/d; /forward\|bridge\|[*?[]/s/^/boot /p'
while read -r name _; do if [ "$name" != Filename ]; then echo "swap $name"; fi; done </proc/swaps
at_boot=''
if [ -r /etc/fstab ]; then
    while read -r name _ kind _ || [ -n "$name" ]; do if [[ $name != \#* && $kind = swap ]]; then at_boot=yes; fi; done </etc/fstab
fi
if [ -n "$at_boot" ]; then
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
if [ "${#PROGRAMS[@]}" -gt 0 ]; then
    packages_look "${PROGRAMS[@]}"
    containerd_dump
fi
container=$(container_kind)
echo "container $container"
case $container in
none | unknown)
    mapfile -t states < <(systemctl is-active "${TIME_SERVICES[@]}" 2>/dev/null)
    for i in "${!states[@]}"; do if [ "${states[i]}" = active ]; then echo "time ${TIME_SERVICES[i]}"; fi; done
    echo "synchronized $(timeout 3 timedatectl show -p NTPSynchronized --value 2>/dev/null)"
    ;;
esac
true
