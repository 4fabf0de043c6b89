# Variables: VERSION (of Kubernetes, such as 1.30.0), PACKAGES (array), LISTS and CONTENTS (arrays, mostly empty: files of repositories as
# they would be, their names and contents in base64; then only these repositories are asked), CHOICE (yes: also what would be chosen).
# Prints "offered NAME VERSION WHERE SUITE" of each version that the host's repositories have, with CHOICE "candidate NAME VERSION", the
# one that apt itself would take by the host's priorities (yes: all lists are fetched), and "trouble TEXT", what was said about
# repositories that cannot be used. Changes no list of the host: apt fetches into a scratch directory. Where the host's own lists have
# the wanted version, it fetches only what shows that a repository is there and valid. (dnf and yum renew their cache as with any command.)
# shellcheck shell=bash disable=SC2154,SC2153
for each in "${proxies[@]}"; do export "${each?}"; done # the host's own (session.sh)
madison() { # [OPTION...]
    apt-cache "$@" madison -- "${PACKAGES[@]}" 2>/dev/null | while IFS=' |' read -r name version where suite _; do
        echo "offered $name $version $where $suite"
    done
}
lists() { # DIRECTORY: writes the files of LISTS into it
    local each
    mkdir -p "$1"
    for each in "${!LISTS[@]}"; do base64 -d <<<"${CONTENTS[each]}" >"$1/${LISTS[each]##*/}"; done
}
by_apt() {
    local said='' error scratch each code=0
    scratch=$(mktemp -d) || return
    # shellcheck disable=SC2064
    trap "rm -rf -- '$scratch'" EXIT
    trap 'exit 1' TERM INT HUP
    mkdir -p "$scratch"/lists/partial "$scratch"/cache/archives/partial
    local options=(-o "Dir::State::Lists=$scratch/lists" -o "Dir::Cache=$scratch/cache" -o APT::Sandbox::User=root
        -o Acquire::Languages=none -o Acquire::Retries=0 -o Acquire::http::Timeout=10 -o Acquire::https::Timeout=10) targets=()
    if [ "${#LISTS[@]}" = 0 ]; then
        said=$(madison)
    else
        lists "$scratch/parts"
        options+=(-o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$scratch/parts")
    fi
    for each in $(apt-config dump | sed -n 's/^\(Acquire::IndexTargets::[^:]*::[^: ]*\)::.*/\1/p' | sort -u) Acquire::IndexTargets::deb{::Packages,-src::Sources}; do
        targets+=(-o "$each::DefaultEnabled=false")
    done
    if [[ $said != *"offered kubeadm $VERSION"[-\ ]* ]]; then targets=(); fi
    error=$(timeout --foreground 45 apt-get -qq "${options[@]}" "${targets[@]}" update 2>&1 >/dev/null) || code=$?
    if [ "$code" = 124 ]; then error+=$'\nE: apt-get update was not finished after 45 s'; fi
    grep '^\(E\|W\|Error\|Warning\): ' <<<"$error" | sed 's/^/trouble /'
    if [ "${#targets[@]}" = 0 ]; then said=$(madison "${options[@]}"); fi
    if [ -n "$said" ]; then echo "$said"; fi
    [ "${CHOICE:-}" != yes ] || apt-cache "${options[@]}" policy -- "${PACKAGES[@]}" 2>/dev/null | awk '/^[^ ]/ { sub(/:$/, "", $1); name = $1 }
        $1 == "Candidate:" && $2 != "(none)" { print "candidate", name, $2 }'
}
by_dnf() { # dnf|yum
    local said options=() scratch
    if [ "${#LISTS[@]}" -gt 0 ]; then
        scratch=$(mktemp -d) || return
        # shellcheck disable=SC2064
        trap "rm -rf -- '$scratch'" EXIT
        trap 'exit 1' TERM INT HUP
        lists "$scratch"
        options=("--setopt=reposdir=$scratch")
    fi
    # Excluded packages count: they are installed with --disableexcludes.
    said=$(timeout --foreground 60 "$1" "${options[@]}" '--setopt=*.skip_if_unavailable=1' --disableexcludes=all --showduplicates list "${PACKAGES[@]}" 2>&1)
    awk '/^Available Packages/ { on = 1; next } /^[A-Z][a-z]+ Packages/ { on = 0 }
        /^Errors during downloading metadata/ { head = $0; getline; print "trouble", head $0 } /^Error: / { print "trouble", $0 }
        on && NF == 3 { sub(/\.[^.]*$/, "", $1); sub(/^[0-9]+:/, "", $2); print "offered", $1, $2, $3 }' <<<"$said"
}
if command -v apt-get >/dev/null; then by_apt; elif manager=$(command -v dnf || command -v yum); then by_dnf "$manager"; fi
true
