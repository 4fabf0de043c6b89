# Variables: MODULES (array), SYSCTL_FILE ("" for none). Loads modules, then applies the sysctl file: some sysctls come with a module.
# shellcheck shell=bash disable=SC2154
code=0
for module in "${MODULES[@]}"; do
    said=$(modprobe -- "$module" 2>&1) || {
        echo "this kernel has no module $module: $said" >&2
        code=1
    }
done
[ -z "$SYSCTL_FILE" ] || sysctl -q -p "$SYSCTL_FILE" || code=$?
exit "$code"
