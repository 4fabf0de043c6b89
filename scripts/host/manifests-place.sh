# Variables: NAMES, CONTENTS (arrays; contents in base64). Puts manifests of static pods in place, each at once. They are written elsewhere before:
# the kubelet would run a file that is half written beside them as another pod.
# shellcheck shell=bash disable=SC2154
set -eu
manifests=/etc/kubernetes/manifests
for name in "${NAMES[@]}"; do
    [ ! -L "$manifests/$name.yaml" ] || {
        echo "$manifests/$name.yaml is a symbolic link, and only a file is written; nothing was changed" >&2
        exit 73
    }
done
new=/etc/kubernetes/ha-runbooks-new
mkdir -p "$new" # 0700: umask 077
trap 'rm -rf -- "$new"' EXIT
for i in "${!NAMES[@]}"; do
    printf %s "${CONTENTS[i]}" | base64 -d >"$new/${NAMES[i]}.yaml"
    chmod 0600 "$new/${NAMES[i]}.yaml"
    sync -- "$new/${NAMES[i]}.yaml"
    mv -fT -- "$new/${NAMES[i]}.yaml" "$manifests/${NAMES[i]}.yaml"
done
sync -- "$manifests"
