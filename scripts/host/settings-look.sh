# Variables: FOLDERS (array: directories whose files are printed: manifests, patches), LARGEST (bytes: larger files are not printed). Needs
# the function of cgroup.sh before it. Read-only. What the components of Kubernetes on this host are started with, paths and texts in base64:
#   unit TEXT           the kubelet's unit and drop-ins, as `systemctl cat` prints them
#   reload yes          systemd has not read these files since they were changed
#   running TEXT        the command line of the kubelet that runs, words ended by NUL; nothing when none runs
#   file PATH TEXT      the files that the unit and the kubelet's flags name (environment, configuration), those in FOLDERS, and what the
#                       manifests in the first folder name with --config and --audit-policy-file (as on the host: kubeadm's paths are alike)
#   missing PATH        one that the unit or a flag names, and that is not there
#   unread PATH REASON  one that cannot be read; PATH "kubelet.service" for the unit
#   cgroup v1|v2, containerd VERSION, containerd_config VERSION (of its file; 1 when the file does not say)
# shellcheck shell=bash disable=SC2154
set -u
shopt -s nullglob
encoded() { base64 -w0; }
named() { printf '%s' "$1" | encoded; }
unread() { echo "unread $(named "$1") $(named "$2")"; }
show() {
    local size
    if [ ! -e "$1" ]; then
        echo "missing $(named "$1")"
    elif [ ! -f "$1" ] || [ ! -r "$1" ]; then
        unread "$1" "it is no file that can be read"
    elif size=$(stat -Lc %s -- "$1") && [ "$size" -gt "$LARGEST" ]; then
        unread "$1" "it has $size bytes"
    else
        echo "file $(named "$1") $(encoded <"$1")"
    fi
}

unit=$(systemctl cat kubelet.service 2>/dev/null)
if [ -n "$unit" ]; then
    echo "unit $(named "$unit")"
else
    unread kubelet.service "$(systemctl cat kubelet.service 2>&1 | tail -n 1)"
fi
if [ "$(systemctl show -p NeedDaemonReload kubelet.service 2>/dev/null)" = NeedDaemonReload=yes ]; then echo "reload yes"; fi
pid=$(systemctl show -p MainPID kubelet.service 2>/dev/null)
pid=${pid#MainPID=}
running=''
if [ "${pid:-0}" -gt 0 ] 2>/dev/null && running=$(encoded <"/proc/$pid/cmdline") && [ -n "$running" ]; then echo "running $running"; fi

# The kubelet's files. systemd takes patterns in EnvironmentFile= too.
mapfile -t variables < <(sed -n 's/^[[:space:]]*EnvironmentFile[[:space:]]*=[[:space:]]*-\{0,1\}\(.*[^[:space:]]\).*$/\1/p' <<<"$unit")
words=$unit$'\n'$(base64 -d <<<"$running" | tr '\0' '\n')
for pattern in "${variables[@]}"; do
    mapfile -t paths < <(compgen -G "$pattern" || echo "$pattern")
    for path in "${paths[@]}"; do
        show "$path"
        words+=$'\n'$(cat -- "$path" 2>/dev/null)
    done
done
mapfile -t configs < <(grep -oE -e '--config(-dir)?[= ][^[:space:]"'\'']+' <<<"$words" | sort -u)
for each in "${configs[@]}"; do
    path=${each#--config*[= ]}
    case $each in
    --config-dir*) for file in "$path"/*.conf; do show "$file"; done ;;
    *) show "$path" ;;
    esac
done
for folder in "${FOLDERS[@]}"; do
    for path in "$folder"/*; do [ -d "$path" ] || show "$path"; done
done
mapfile -t configs < <(grep -ohE -e '--(config|audit-policy-file)=[^][:space:],"'\'']+' -- "${FOLDERS[0]}"/*.yaml /dev/null | sort -u)
for each in "${configs[@]}"; do show "${each#*=}"; done

echo "cgroup $(cgroup_version)"
if command -v containerd >/dev/null; then
    said=$(timeout 5 containerd --version 2>/dev/null)
    echo "containerd $(sed -nE 's/^containerd [^ ]+ v?([0-9][^ ]*).*$/\1/p' <<<"$said")"
    if [ -e /etc/containerd/config.toml ]; then
        version=$(sed -nE 's/^[[:space:]]*version[[:space:]]*=[[:space:]]*([0-9]+).*$/\1/p' /etc/containerd/config.toml | head -n 1)
        echo "containerd_config ${version:-1}"
    fi
fi
true
