# A private directory for one backup command on this host, and how what is in it is sent; stands before another script. Variables:
# BASE (where the directory is made). It goes whatever happens; those of commands that died with their host go first.
# Output: "@@ name bytes sha256" and then so many bytes, for each file (sha256 is "-" when the file carries its own); "@= name
# value" for a fact; "@! part reason" for what could not be saved; "@. " at the end of it all.
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
    cat "$2" || exit 74 # half a file has been announced as a whole one
}
politely() { # from here on: a backup must not take the disk or the processor from what it saves
    renice -n 10 -p "$BASHPID" >/dev/null
    ! command -v ionice >/dev/null || ionice -c 2 -n 7 -p "$BASHPID"
}
words() { # what a tool said, in one line, without etcd's logging
    local said
    said=$(grep -v '^{"level":"\(info\|warn\)\|[Zz][[:space:]]*info[[:space:]]' "$1" | tail -n 2 | tr '\n' ' ')
    [[ $said != *"no space left"* ]] || said="no space left on the device of $BASE"
    said=${said##*Error: }
    printf '%s' "${said:-it says nothing}"
}

mkdir -p "$BASE" && chmod 700 "$BASE" || exit
exec 8<"$BASE" && flock 8 || exit
for old in "$BASE"/run.*; do # its lock is gone: so is its process
    [ -d "$old" ] || continue
    exec 7<"$old"
    ! flock -n 7 || rm -rf -- "$old"
    exec 7<&-
done
work=$BASE/run.$(now).$$ # known before it is there: whenever we are ended, it goes
clean() { # we may be told to end while we are ending: then what removes must not be ended as well
    trap '' TERM HUP INT
    rm -rf -- "$work"
}
trap clean EXIT
trap 'clean; exit 143' TERM HUP INT
mkdir -m 700 "$work" && exec 9<"$work" && flock -n 9 && exec 8<&- || exit
