# Variables: PATHS (array: files and directories to save if they exist), NEEDED (array: those that must exist), NAMED (array: files and
# directories elsewhere that the control plane names), MOST (bytes of what one link leads to), and those of backup-work.sh, which
# precedes this script. Sends them as one tar archive, with owners and modes. A link that leads out of PATHS would lead nowhere after a
# restore: it is replaced by what it leads to, and so is every link in NAMED.
# shellcheck shell=bash disable=SC2154
outward() { # fills out: the links in there that lead out of it
    local roots=() link real root size
    for path in "${there[@]}"; do
        if [ -L "/$path" ]; then out+=("$path"); else roots+=("$(realpath -- "/$path")"); fi
    done
    while read -r -d '' link; do
        real=$(realpath -e -- "$link" 2>/dev/null) || continue
        [ -f "$real" ] || [ -d "$real" ] || continue # /dev/null, which masks a unit
        for root in "${roots[@]}"; do [[ "$real/" != "$root/"* ]] || continue 2; done
        size=$(timeout 10 du -sLb -- "$real" 2>/dev/null)
        size=${size%%[!0-9]*}
        if [ -n "$size" ] && [ "$size" -le "$MOST" ]; then
            out+=("${link#/}")
        else
            missing "$link" "it leads to $real, which has more than $((MOST >> 20)) MiB"
        fi
    done < <(find -H "${there[@]/#//}" -type l -print0 2>/dev/null)
}
above() { # fills parents: the directories above what is named, for their owners and modes
    local path
    mapfile -t parents < <(for path in "${elsewhere[@]}"; do
        while path=${path%/*} && [ -n "$path" ]; do echo "$path"; done
    done | sort -u)
}
pack() { # exit status 1 of tar: a file changed while it was read
    local tar=(tar -C / --hard-dereference --transform='s,/\./,/,rSH' -f "$work/tar")
    "${tar[@]}" -c --anchored --no-wildcards --exclude-from="$work/left" -- "${there[@]}" || [ $? -eq 1 ] || return
    [ "${#parents[@]}" -eq 0 ] || "${tar[@]}" -rh --no-recursion -- "${parents[@]#/}" || return
    [ $((${#out[@]} + ${#elsewhere[@]})) -eq 0 ] || "${tar[@]}" -rh -- "${out[@]}" "${elsewhere[@]#/}" || [ $? -eq 1 ] || return
    gzip "$work/tar"
}
take_files() {
    local path there=() out=() parents=() elsewhere=()
    for path in "${PATHS[@]}"; do
        if [ -L "$path" ] && [ -d "$path" ]; then
            there+=("${path#/}/.") # so tar follows the link
        elif [ -e "$path" ]; then
            there+=("${path#/}")
        fi
    done
    for path in "${NAMED[@]}"; do if [ -e "$path" ]; then elsewhere+=("$path"); else missing "$path" "it was deleted meanwhile"; fi; done
    for path in "${NEEDED[@]}"; do [ -e "$path" ] || missing files "there is no $path"; done
    [ "${#there[@]}" -gt 0 ] || return
    politely
    outward
    above
    printf '%s\n' etc/kubernetes/tmp "${out[@]}" >"$work/left"
    if pack 2>"$work/said"; then
        send files "$work/tar.gz"
    else
        missing files "tar: $(words "$work/said")"
    fi
}
take_files
ended
