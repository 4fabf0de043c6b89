# Variables: VERSION (of Kubernetes, such as 1.30.0), PACKAGES (array), LISTS and CONTENTS (arrays, mostly empty: files of repositories as
# they would be, their names and contents in base64; then only these repositories are asked), CHOICE (yes: also what would be chosen),
# NEEDED and TOOLS (arrays, mostly empty; then packages-look.sh stands before this): first prints which of PACKAGES are installed. When those of
# NEEDED are, in that version, and containerd, cri-tools and these programs are there, nothing will be installed: no repository is asked.
# Prints "offered NAME VERSION WHERE SUITE" of each version that the host's repositories have, the newest
# first with CHOICE, and then also "candidate NAME VERSION", the one that the host itself would take by its priorities and excludes: never
# below the installed one (dnf: none where nothing is newer; apt: all lists are fetched). And "trouble TEXT", what was said about
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
enough() {
    local each have
    have=$'\n'$(packages_look "${PACKAGES[@]}")$'\n'
    echo "$have"
    for each in "${TOOLS[@]}"; do command -v "$each" >/dev/null || return; done
    for each in "${NEEDED[@]}"; do
        [[ $have =~ $'\n'"package $each "([0-9]+:)?"$VERSION"[-$'\n'] ]] || return
    done
    [[ $have == *$'\n'"package cri-tools "* && $have == *$'\n'"package containerd"[.\ ]* ]]
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
        $1 == "Installed:" { installed = $2 } $1 == "Candidate:" && $2 != "(none)" { print name, installed, $2 }' |
        while read -r each said code; do # a pin above 1000 makes apt go back
            if [ "$said" != '(none)' ] && dpkg --compare-versions "$code" lt "$said"; then code=$said; fi
            echo "candidate $each $code"
        done
}
by_dnf() { # dnf|yum
    local said options=() scratch all=(--disableexcludes=all)
    if [ "${#LISTS[@]}" -gt 0 ]; then
        scratch=$(mktemp -d) || return
        # shellcheck disable=SC2064
        trap "rm -rf -- '$scratch'" EXIT
        trap 'exit 1' TERM INT HUP
        lists "$scratch"
        options=("--setopt=reposdir=$scratch")
    fi
    # Excluded packages count: they are installed with --disableexcludes. But they are not what the host itself would take.
    [ "${CHOICE:-}" != yes ] || all=()
    said=$(timeout --foreground 60 "$1" ${options[@]+"${options[@]}"} '--setopt=*.skip_if_unavailable=1' ${all[@]+"${all[@]}"} --showduplicates list "${PACKAGES[@]}" 2>&1)
    awk '/^Available Packages/ { on = 1; next } /^[A-Z][a-z]+ Packages/ { on = 0 }
        /^Errors during downloading metadata/ { head = $0; getline; print "trouble", head $0 } /^Error: / { print "trouble", $0 }
        on && NF == 3 { sub(/\.[^.]*$/, "", $1); sub(/^[0-9]+:/, "", $2); print "offered", $1, $2, $3 }' <<<"$said" |
        if [ "${CHOICE:-}" = yes ]; then tac; else cat; fi
    [ "${CHOICE:-}" != yes ] || timeout --foreground 25 "$1" -q -C check-update "${PACKAGES[@]}" 2>/dev/null |
        awk -v names=" ${PACKAGES[*]} " '/^Obsoleting Packages/ { exit }
            NF == 3 { sub(/\.[^.]*$/, "", $1); sub(/^[0-9]+:/, "", $2); if (index(names, " " $1 " ")) print "candidate", $1, $2 }'
}
if [ "${#NEEDED[@]}" -gt 0 ] && enough; then exit 0; fi
if command -v apt-get >/dev/null; then by_apt; elif manager=$(command -v dnf || command -v yum); then by_dnf "$manager"; fi
true
