# Creates a private directory for one backup command on this host, and defines how files are sent; precedes another script.
# Variables: BASE (where the directory is created). The directory is deleted when the script ends, also when it is killed by a signal
# that can be trapped; directories left by earlier commands (power loss, SIGKILL) are deleted first.
# Output: for each file "@@ name bytes sha256", then that many bytes (sha256 is "-" when the file ends with its own); "@= name
# value" for a fact; "@! part reason" for what could not be saved; "@. " at the end.
# shellcheck shell=bash disable=SC2154
set -u
now() { date +%s%3N; }
fact() { printf '@= %s %s\n' "$1" "$2"; }
missing() { printf '@! %s %s\n' "$1" "${2//$'\n'/ }"; }
ended() { printf '@. \n'; }
send() { # NAME FILE [-]
    local sum=${3:-}
    [ -n "$sum" ] || read -r sum _ < <(sha256sum "$2")
    printf '@@ %s %s %s\n' "$1" "$(stat -c %s "$2")" "$sum"
    cat "$2" || exit 74 # the whole file was announced, but only a part was sent
}
politely() { # low priority for disk and processor from here on, so that the cluster is not slowed down
    renice -n 10 -p "$BASHPID" >/dev/null
    ! command -v ionice >/dev/null || ionice -c 2 -n 7 -p "$BASHPID"
}
words() { # FILE: the error message in a tool's output, on one line, without etcd's log lines
    local said
    said=$(grep -v '^{"level":"\(info\|warn\)\|[Zz][[:space:]]*info[[:space:]]' "$1" | tail -n 2 | tr '\n' ' ')
    [[ $said != *"no space left"* ]] || said="no space left on the device of $BASE"
    said=${said##*Error: }
    printf '%s' "${said:-it says nothing}"
}

mkdir -p "$BASE" && chmod 700 "$BASE" || exit
exec 8<"$BASE" && flock 8 || exit
for old in "$BASE"/run.*; do # a directory whose lock is free belongs to no running process
    [ -d "$old" ] || continue
    exec 7<"$old"
    ! flock -n 7 || rm -rf -- "$old"
    exec 7<&-
done
work=$BASE/run.$(now).$$ # set before the directory is created, so that clean always knows it
clean() { # a second signal must not stop the deletion
    trap '' TERM HUP INT
    rm -rf -- "$work"
}
trap clean EXIT
trap 'clean; exit 143' TERM HUP INT
mkdir -m 700 "$work" && exec 9<"$work" && flock -n 9 && exec 8<&- || exit
