# Functions: what containerd makes of its configuration. Variables: none. Read-only. containerd_dump [FILE] prints one "key value" a line:
#   dump LINE      a section, or a key that matters here, of `containerd config dump`: what is in force, in the format of that containerd
#   written IMAGE  the pause image that the file itself names, in whatever section; not when it imports others, which come after it
#   invalid TEXT   why containerd cannot read the file: with it, it does not start again
# Nothing without containerd.
# shellcheck shell=bash
containerd_dump() {
    local said status file=${1:-/etc/containerd/config.toml} words=(${1:+-c "$1"} config dump)
    command -v containerd >/dev/null || return 0
    [ -e "$file" ] || words=(config default) # it starts without a file, but does not dump then
    said=$(GOGC=off timeout 5 containerd "${words[@]}" 2>/dev/null)
    status=$?
    if [ $status = 0 ]; then
        sed -nE 's/^ *(\[.*\]|(disabled_plugins|sandbox_image|sandbox|SystemdCgroup|bin_dirs?|conf_dir) = .*)$/dump \1/p' <<<"$said"
    elif [ $status != 124 ]; then # 124: out of time, which says nothing about the file
        said=$(timeout 5 containerd "${words[@]}" 2>&1 >/dev/null | tail -n 1)
        echo "invalid ${said:-containerd config dump fails}"
    fi
    [ ! -e "$file" ] || grep -Eqs '^[[:space:]]*imports[[:space:]]*=[[:space:]]*\[[^]]' "$file" ||
        sed -nE "s/^[[:space:]]*sandbox(_image)?[[:space:]]*=[[:space:]]*[\"']([^\"']+)[\"'].*/written \2/p" "$file" 2>/dev/null | tail -n 1
}
