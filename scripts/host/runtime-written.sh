# Functions: when containerd's configuration was written last. runtime_written FILE prints that in whole seconds: of FILE, or of the directory in which
# it would be, which tells when it was taken away; and of the owner's parts that it imports, and their directory. Read-only.
# shellcheck shell=bash
runtime_written() {
    local file=$1 written latest parts
    parts=$(sed -nE 's|^imports = \["(/etc/containerd/ha-runbooks/v[0-9])/\*\.toml"\]$|\1|p' "$file" 2>/dev/null)
    until [ -e "$file" ]; do file=${file%/*} file=${file:-/}; done
    written=$(stat -c %Y "$file")
    if [ -n "$parts" ] && [ -d "$parts" ]; then
        latest=$(find "$parts" -printf '%T@\n' | sort -n | tail -n 1)
        [ "${latest%.*}" -le "$written" ] || written=${latest%.*}
    fi
    echo "$written"
}
