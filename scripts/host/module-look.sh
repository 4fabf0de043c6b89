# Variables: MODULES (array). Functions: whether the kernel has them. modules_look prints "module NAME there|loadable|missing" for each, and
# "barred NAME FILE" where a file in modprobe.d keeps it from being loaded at boot.
# shellcheck shell=bash disable=SC2154
builtin_modules() { IFS='|' && grep -Es "/(${MODULES[*]//[-_]/[-_]})\\.ko" "/lib/modules/$(</proc/sys/kernel/osrelease)/modules.builtin"; }
modules_look() {
    local module state name built_in
    [ "${#MODULES[@]}" -gt 0 ] || return 0
    built_in=$(builtin_modules)
    for module in "${MODULES[@]}"; do
        name=${module//[-_]/[-_]} # for modprobe, both are the same
        if loaded "$module"; then state=there; elif modprobe -n -q -- "$module" 2>/dev/null; then state=loadable; else state=missing; fi
        echo "module $module $state"
        builtin "$name" || grep -rlsE --include='*.conf' "^[[:space:]]*(blacklist[[:space:]]+${name}|install[[:space:]]+${name}[[:space:]]+(/usr)?/bin/(true|false))[[:space:]]*\$" \
            /etc/modprobe.d /run/modprobe.d /usr/lib/modprobe.d | sed -n "1s|^|barred $module |p"
    done
}
builtin() { [[ $built_in == */$1.ko* ]]; } # a pattern
loaded() {
    [ -d "/sys/module/${1//-/_}" ] || builtin "${1//[-_]/[-_]}" || case $1 in
    br_netfilter) [ -e /proc/sys/net/bridge/bridge-nf-call-iptables ] ;;
    overlay) [[ $(</proc/filesystems) =~ (^|[[:space:]])overlay($|[[:space:]]) ]] ;;
    *) false ;;
    esac
}
