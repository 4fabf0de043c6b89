# Variables: READ, and those of lb-stage.sh, which stands before this. Has haproxy and keepalived check a load balancer's new files; changes nothing.
# Exit 65: one of them refuses its file, and says why on standard error; also when haproxy refuses the file that is there now already.
# shellcheck shell=bash disable=SC2154
set -eu
now=()
for path in "${READ[@]}"; do now+=(-f "$path"); done
said=$(haproxy -c "${now[@]}" 2>&1) || {
    printf '%s\n' "haproxy refuses already the configuration that is there now:" "$said" >&2
    exit 65
}
stage_files /run
accepts || exit 65
