# Variables: PATHS (array: what to look at), FOLDERS (array: directories whose manifests are looked at), LARGEST (bytes: the content of
# larger files is not sent). Output: "KIND BYTES PATH CONTENT" for each, path and content in base64. KIND is file, directory, other or
# missing. The content is empty for what is not a small text file, and for PEM. Then "kubelet TEXT" (base64), its flags.
# shellcheck shell=bash disable=SC2154
set -u
shopt -s nullglob
encoded() { base64 -w0; }
bytes_below() { # a directory that takes long to measure is large
    local size
    size=$(timeout 10 du -sLb -- "$1" 2>/dev/null)
    [ $? -ne 124 ] && [ -n "$size" ] && echo "${size%%[!0-9]*}" && return
    echo 999999999999
}
look() {
    local kind=missing size=0 content=''
    if [ -f "$1" ]; then
        kind=file size=$(stat -Lc %s -- "$1")
        if [ "$size" -le "$LARGEST" ] && ! grep -q -e '^-----BEGIN ' -- "$1"; then content=$(encoded <"$1"); fi
    elif [ -d "$1" ]; then
        kind=directory size=$(bytes_below "$1")
    elif [ -e "$1" ]; then
        kind=other
    fi
    echo "$kind $size $(printf %s "$1" | encoded) $content"
}
flags() { # of the kubelet that runs; else those that it would be started with
    local pid
    pid=$(systemctl show -p MainPID kubelet 2>/dev/null)
    pid=${pid#MainPID=}
    if [ "${pid:-0}" -gt 0 ] && tr '\0' '\n' <"/proc/$pid/cmdline" 2>/dev/null; then return; fi
    cat /usr/lib/systemd/system/kubelet.service.d/*.conf /etc/systemd/system/kubelet.service.d/*.conf /var/lib/kubelet/kubeadm-flags.env \
        /etc/default/kubelet /etc/sysconfig/kubelet 2>/dev/null
    true
}
for path in "${PATHS[@]}"; do look "$path"; done
for folder in "${FOLDERS[@]}"; do
    for path in "$folder"/*.yaml "$folder"/*.yml "$folder"/*.json; do look "$path"; done
done
echo "kubelet $(flags | encoded)"
