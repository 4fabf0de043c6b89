# Variables: HAPROXY_CFG, KEEPALIVED_CONF.
# Prints what this host serves already, before anything is changed. One "key value" a line:
#   listen ADDRESS:PORT own|other PROCESS PID     each TCP port that somebody listens on; own: our HAProxy
#   exec UNIT LINE, set UNIT NAME=VALUE           how systemd starts the unit, and the variables that occur in that line
#   argv UNIT WORDS                               how the running one was started
#   file PATH default|other BASE64                the present configuration; default: the package's own, unchanged
# Read-only.
# shellcheck shell=bash disable=SC2154
while read -r _ _ _ address _ users; do
    [[ $users =~ \(\(\"([^\"]*)\",pid=([0-9]+) ]] || { echo "listen $address other - 0" && continue; }
    whose=other
    if grep -qs '/haproxy\.service' "/proc/${BASH_REMATCH[2]}/cgroup"; then whose=own; fi
    echo "listen $address $whose ${BASH_REMATCH[1]// /_} ${BASH_REMATCH[2]}"
done < <(ss -Hltnp 2>/dev/null)
for unit in haproxy keepalived; do
    line=$(systemctl show "$unit" -p ExecStart --value 2>/dev/null)
    [ -n "$line" ] || continue
    line=${line#*argv[]=}
    echo "exec $unit ${line%%" ; ignore_errors="*}"
    echo "set $unit $(systemctl show "$unit" -p Environment --value)"
    while read -r file _; do
        [ -r "$file" ] || continue
        while IFS= read -r each || [ -n "$each" ]; do
            name=${each%%=*}
            [[ $name =~ ^[A-Za-z_][A-Za-z0-9_]*$ ]] && [[ $line == *"\$$name"* || $line == *"\${$name}"* ]] && echo "set $unit $each"
        done <"$file"
    done < <(systemctl show "$unit" -p EnvironmentFiles --value)
    main=$(systemctl show "$unit" -p MainPID --value)
    if [ "${main:-0}" != 0 ]; then echo "argv $unit $(tr '\0' ' ' <"/proc/$main/cmdline")"; fi
done
default() { # PACKAGE PATH: whether the file is the package's own
    local sum=''
    if command -v dpkg-query >/dev/null; then
        sum=$(dpkg-query -W -f '${Conffiles}\n' "$1" 2>/dev/null | awk -v path="$2" '$1 == path { print $2 }')
    elif command -v rpm >/dev/null; then
        sum=$(rpm -q --qf '[%{FILENAMES} %{FILEDIGESTS}\n]' "$1" 2>/dev/null | awk -v path="$2" '$1 == path { print $2 }')
    fi
    case ${#sum} in
    32) [ "$(md5sum <"$2" | cut -d' ' -f1)" = "$sum" ] ;;
    64) [ "$(sha256sum <"$2" | cut -d' ' -f1)" = "$sum" ] ;;
    *) false ;;
    esac
}
for each in "haproxy $HAPROXY_CFG" "keepalived $KEEPALIVED_CONF"; do
    path=${each#* }
    [ -f "$path" ] || continue # also behind a symbolic link
    whose=other
    if default "${each%% *}" "$path"; then whose=default; fi
    echo "file $path $whose $(base64 -w0 <"$path")"
done
true
