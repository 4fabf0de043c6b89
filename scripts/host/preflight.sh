# Variables: ADDRESS (this host's own), ENDPOINT_NAME ("" for none), DATA (etcd's directory), DIRECTORIES, SYSCTLS, UNITS, PROXIED (of these), SOCKETS, OPTIONS (of the kernel), TOOLS
# (programs) (arrays); cgroup.sh and container.sh stand before this.
# What a host is before Kubernetes goes there, one "key value" a line. Read-only. What cannot be told is left out.
# shellcheck shell=bash disable=SC2154,SC2153
there=()
line() { # KEY FILE: the first line of a file, when there is one
    local text=''
    if [ -r "$2" ]; then read -r text <"$2"; fi 2>/dev/null
    if [ -n "$text" ]; then echo "$1 $text"; fi
}
while IFS='=' read -r key value; do
    if [ "$key" = PRETTY_NAME ]; then value=${value#[\"\']} && echo "os ${value%[\"\']}"; fi
done </etc/os-release
for each in apt-get dnf yum zypper apk pacman; do
    if command -v "$each" >/dev/null; then echo "manager $each" && break; fi
done
line kernel /proc/sys/kernel/osrelease
line hostname /proc/sys/kernel/hostname
line machine_id /etc/machine-id
line product_uuid /sys/class/dmi/id/product_uuid
container=$(container_kind)
echo "container $container"
for name in "${SYSCTLS[@]}"; do # root may write anything but a file system that is read-only
    if [ -e "/proc/sys/${name//.//}" ] && [ ! -w "/proc/sys/${name//.//}" ]; then echo "fixed $name"; fi
done
if [ "$(cgroup_version)" = v2 ]; then
    freezer='' # no controller of its own; a kernel has it from 5.2 on, in every cgroup but the first
    if compgen -G '/sys/fs/cgroup/*/cgroup.freeze' >/dev/null; then freezer=freezer; fi
    echo "cgroup v2 $(</sys/fs/cgroup/cgroup.controllers) $freezer"
else # what is on in the kernel; without a directory of the memory controller, newer kubeadm takes it for v2 and fails
    controllers=''
    while read -r name _ _ on; do
        if [ "$on" = 1 ] && { [ "$name" != memory ] || [ -d /sys/fs/cgroup/memory ]; }; then controllers+="$name "; fi
    done </proc/cgroups
    echo "cgroup v1 $controllers"
fi
# The kernel's options, from the first of the files that kubeadm looks for, in its order.
release=$(</proc/sys/kernel/osrelease)
for path in /proc/config.gz "/boot/config-$release" "/usr/src/linux-$release/.config" /usr/src/linux/.config "/usr/lib/modules/$release/config" \
    "/usr/lib/ostree-boot/config-$release" "/usr/lib/kernel/config-$release" "/usr/src/linux-headers-$release/.config" \
    "/lib/modules/$release/build/.config"; do
    [ -e "$path" ] || continue
    echo "kernel_config $path"
    if [[ $path == *.gz ]]; then gzip -dc "$path"; else cat "$path"; fi 2>/dev/null |
        grep -xF -f <(for name in "${OPTIONS[@]}"; do printf 'CONFIG_%s=%s\n' "$name" y "$name" m; done) |
        while IFS='=' read -r name _; do echo "kernel_option ${name#CONFIG_}"; done
    release='' && break
done
if [ -n "$release" ] && modprobe -n -q configs 2>/dev/null; then echo "kernel_config configs"; fi
for name in "${TOOLS[@]}"; do if command -v "$name" >/dev/null; then echo "program $name"; fi; done
for directory in "${DIRECTORIES[@]}"; do
    until [ -d "$directory" ]; do directory=${directory%/*} directory=${directory:-/}; done
    there+=("$directory")
done
sizes() { df -B1 --output=fstype,size,avail,itotal,iavail,target -- "$@" 2>/dev/null; }
mapfile -t states < <(sizes "${there[@]}")
for at in "${!DIRECTORIES[@]}"; do
    if [ "${#states[@]}" -gt "${#there[@]}" ]; then said=${states[at + 1]}; else said=$(sizes "${there[at]}"); fi
    if [ -n "$said" ]; then echo "space ${DIRECTORIES[at]} ${said##*$'\n'}"; fi
done
if command -v ss >/dev/null; then
    echo "listeners known"
    ss -Hltnp | while read -r _ _ _ local _ program; do echo "listener $local ${program:--}"; done
fi
read -r _ interface _ < <(ip -o address show to "$ADDRESS" 2>/dev/null)
interface=${interface%@*}
if [ -n "$interface" ]; then
    echo "interface $interface"
    line mtu "/sys/class/net/$interface/mtu"
fi
if [ -n "$ENDPOINT_NAME" ]; then
    timeout 6 getent ahosts "$ENDPOINT_NAME" 2>/dev/null | while read -r address kind _; do
        if [ "$kind" = STREAM ]; then echo "resolved $address"; fi
    done
fi
if [ -e /etc/ufw/ufw.conf ] && grep -qsi '^ENABLED=yes' /etc/ufw/ufw.conf; then echo "ufw on"; fi
for path in "${SOCKETS[@]}"; do if [ -S "$path" ]; then echo "socket $path"; fi; done
line selinux /sys/fs/selinux/enforce

# Units, and the proxies that systemd gives to them. Only their NO_PROXY is told: a proxy's address may hold a password.
proxied() { # UNIT: of the variables on standard input, one a line; after "@", several as systemd shows them
    awk -v unit="$1" '
        function keep(text,  at) {
            at = index(text, "=")
            value = substr(text, at + 1)
            gsub(/^["\047]|["\047]$/, "", value)
            if (at) given[substr(text, 1, at - 1)] = value
        }
        sub(/^@/, "") {
            while (match($0, /("([^"\\]|\\.)*"|[^ "]+)/)) {
                word = substr($0, RSTART, RLENGTH)
                $0 = substr($0, RSTART + RLENGTH)
                gsub(/^"|"$/, "", word)
                keep(word)
            }
            next
        }
        { keep($0) }
        END {
            if (given["HTTP_PROXY"] given["http_proxy"] given["HTTPS_PROXY"] given["https_proxy"] == "") exit
            print "proxied", unit, (given["NO_PROXY"] == "" ? given["no_proxy"] : given["NO_PROXY"])
        }'
}
at=0 all=$(systemctl show-environment 2>/dev/null) given='' state='' files=()
while IFS='=' read -r key value; do # a block of properties for each unit, with an empty line after it
    case $key in
    ActiveState) state=$value ;;
    Environment) given+=$'\n'@$value ;;
    EnvironmentFiles) files+=("${value% (ignore_errors=*}") ;;
    '')
        [ -n "$state" ] || continue
        echo "unit ${UNITS[at]} $state"
        if [[ " ${PROXIED[*]} " == *" ${UNITS[at]} "* ]]; then
            for path in "${files[@]}"; do given+=$'\n'$(cat -- "$path"); done
            given=$all$given
            # A pipe: before bash 5.1, a here-string is a file. An address may hold a password.
            [[ ${given,,} != *_proxy=* ]] || printf '%s\n' "$given" | proxied "${UNITS[at]}"
        fi
        at=$((at + 1)) given='' state='' files=()
        ;;
    esac
done 2>/dev/null < <(systemctl show -p ActiveState -p Environment -p EnvironmentFiles "${UNITS[@]}" && echo)
for ((; at < ${#UNITS[@]}; at++)); do echo "unit ${UNITS[at]} unknown"; done

# ---- what an earlier cluster left, or this one is
shopt -s nullglob dotglob
for path in "$DATA"/*; do echo "etcd_data ${path##*/}"; done
for path in /etc/kubernetes/manifests/*; do if [ -d "$path" ]; then echo "found $path/"; else echo "found $path"; fi; done
shopt -u dotglob
for path in /etc/kubernetes/{kubelet,bootstrap-kubelet}.conf "$DATA/member" /etc/cni/net.d/*.conf*; do
    if [ -e "$path" ]; then echo "found $path"; fi
done
for path in /etc/kubernetes/{kubelet,bootstrap-kubelet}.conf; do
    [ -r "$path" ] || continue
    while read -r key value || [ -n "$key" ]; do if [ "$key" = server: ]; then echo "server $value"; fi; done <"$path"
done
if [ -r /etc/kubernetes/pki/ca.crt ]; then echo "ca $(sha256sum </etc/kubernetes/pki/ca.crt)"; fi
line attempt /var/lib/ha-runbooks/kubeadm/attempt
true
