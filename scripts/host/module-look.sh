# Variables: MODULES (array). Functions: whether the kernel has them. modules_look prints "module NAME there|loadable|missing" for each, and
# "barred NAME FILE" where a file in modprobe.d keeps it from being loaded at boot.
# shellcheck shell=bash disable=SC2154
builtin_modules() { IFS='|' && grep -Es "/(${MODULES[*]//[-_]/[-_]})\\.ko" "/lib/modules/$(</proc/sys/kernel/osrelease)/modules.builtin"; }
modules_look() {
    local module name names state built_in path barred='|'
    [ "${#MODULES[@]}" -gt 0 ] || return 0
    built_in=$(builtin_modules)
    for module in "${MODULES[@]}"; do
        if loaded "$module"; then state=there; elif modprobe -n -q -- "$module" 2>/dev/null; then state=loadable; else state=missing; fi
        echo "module $module $state"
    done
    # The first file for each counts. A module that is built in cannot be barred.
    names=$(IFS='|' && echo "(${MODULES[*]//[-_]/[-_]})")
    while IFS= read -r -d '' path && read -r _ name _; do
        for module in "${MODULES[@]}"; do
            if [ "${module//-/_}" != "${name//-/_}" ] || [[ $barred = *"|$module|"* ]] || builtin "${module//[-_]/[-_]}"; then continue; fi
            echo "barred $module $path"
            barred+="$module|"
        done
    done < <(grep -rsEZ --include='*.conf' "^[[:space:]]*(blacklist[[:space:]]+${names}|install[[:space:]]+${names}[[:space:]]+(/usr)?/bin/(true|false))[[:space:]]*\$" \
        /etc/modprobe.d /run/modprobe.d /usr/lib/modprobe.d)
}
builtin() { [[ $built_in == */$1.ko* ]]; } # a pattern
loaded() {
    [ -d "/sys/module/${1//-/_}" ] || builtin "${1//[-_]/[-_]}" || case $1 in
    br_netfilter) [ -e /proc/sys/net/bridge/bridge-nf-call-iptables ] ;;
    overlay) [[ $(</proc/filesystems) =~ (^|[[:space:]])overlay($|[[:space:]]) ]] ;;
    *) false ;;
    esac
}
