# Variables: TOP (directory of ours), WANTED (array of "NAME VERSION"). Functions for scripts that upgrade packages; packages.sh stands
# before this. A new package is fetched and unpacked beside the installed one, so that its program can judge a configuration before it
# is installed: the packages' own scripts restart their services, whether the new program takes the configuration or not.
#   TOP/new   the packages to install, with what they need besides     TOP/root  the same, unpacked
#   TOP/old   the packages that they replace                           TOP/tried the versions, then checksums of what they were tried with
#   TOP/before  lines of "NAME VERSION", what TOP/old is to bring back   TOP/trial  lines of "NAME INSTALLED WANTED" (none: -) of that trial
# OLD (array of "NAME VERSION", may be missing): what was installed before a run that was interrupted; without it, what is installed now.
# shellcheck shell=bash disable=SC2154
umask 022
by_apt() { command -v apt-get >/dev/null; }
manager=$(command -v dnf || command -v yum || true)
installed() { # NAME
    # shellcheck disable=SC2016
    if by_apt; then
        dpkg-query -W -f '${db:Status-Status} ${Version}\n' "$1" 2>/dev/null | sed -n 's/^installed //p'
    else rpm -q --qf '%{VERSION}-%{RELEASE}\n' "$1" 2>/dev/null | grep -v 'is not installed'; fi
}
differing() { # [LINES]: sets names and words: those of WANTED that are not installed in that version, nor among LINES of "NAME VERSION"
    local name version
    names=() words=()
    for each in "${WANTED[@]}"; do
        read -r name version <<<"$each"
        [ "$(installed "$name")" != "$version" ] || continue
        ! grep -qxF -- "$name $version" <<<"${1:-}" || continue
        names+=("$name")
        if by_apt; then words+=("$name=$version"); else words+=("$name-$version"); fi
    done
}
# shellcheck disable=SC2016
is() { # FILE: prints "NAME VERSION" of that package
    case $1 in
    *.deb) dpkg-deb -W --showformat='${Package} ${Version}\n' "$1" ;;
    *.rpm) rpm -qp --qf '%{NAME} %{VERSION}-%{RELEASE}\n' "$1" 2>/dev/null ;;
    esac
}
fetched() { # prints "NAME VERSION" of each package in TOP/new
    local each
    for each in "$TOP"/new/*; do is "$each"; done
}
kept() { # NAME VERSION: prints the file in TOP/old that is this package
    local each
    for each in "$TOP"/old/*.{deb,rpm}; do
        [ ! -f "$each" ] || [ "$(is "$each")" != "$1 $2" ] || { echo "$each" && return; }
    done
    return 1
}
take() { # fetches the packages into TOP/new; ends with the package manager's words when that fails
    rm -rf -- "$TOP/new" "$TOP/root" "$TOP/tried"
    mkdir -p "$TOP/new" "$TOP/root"
    if ! by_apt && [ -z "$manager" ]; then
        echo "no apt-get, dnf or yum on this host" >&2
        exit 69
    fi
    if by_apt; then apt_begin; fi
    differing
    [ "${#words[@]}" -gt 0 ] || return 0
    if by_apt; then
        local list code=0
        list=$(apt-get -s -q --no-remove --no-install-recommends --allow-downgrades --allow-change-held-packages install -- "${words[@]}" 2>"$TOP/said") || code=$?
        if [ "$code" != 0 ]; then
            said=$(<"$TOP/said")
            echo "$list" "$said" >&2
            told "$code"
        fi
        mapfile -t words < <(awk '/^Inst / { v = $3; if (v ~ /^\[/) v = $4; sub(/^\(/, "", v); print $2 "=" v }' <<<"$list")
        cd "$TOP/new" || exit 1
        patiently apt-get -q -o APT::Sandbox::User=root download -- "${words[@]}" || told $?
        cd /
    else
        rpms "$manager" --downloadonly --downloaddir="$TOP/new" --setopt=install_weak_deps=False install -- "${words[@]}" || true
        differing "$(fetched)"
        # Those below what is installed.
        if [ "${#words[@]}" -gt 0 ]; then rpms "$manager" --downloadonly --downloaddir="$TOP/new" downgrade -- "${words[@]}" || true; fi
    fi
    differing "$(fetched)"
    [ "${#words[@]}" = 0 ] || {
        [ -z "$said" ] || echo "$said" >&2
        echo "could not be fetched: ${words[*]}" >&2
        told 1
    }
}
unpack() {
    local each
    for each in "$TOP"/new/*; do
        case ${each##*/} in
        libc6_* | libc-bin_* | glibc*) ;; # its programs would need its loader
        *.deb) dpkg-deb -x "$each" "$TOP/root" ;;
        *.rpm) if command -v cpio >/dev/null; then (cd "$TOP/root" && rpm2cpio "$each" | cpio -idm --quiet); else rpm2archive - <"$each" | tar -xz -C "$TOP/root"; fi ;;
        esac
    done
}
program() { # NAME: sets it to the new program, or to the installed one where there is no other; libraries are then those beside it
    local each
    for each in usr/sbin usr/bin; do
        new=$TOP/root/$each/$1
        [ ! -x "$new" ] || return 0
    done
    new=$(command -v "$1")
}
beside() { # COMMAND...: run it with the libraries that were fetched with it
    local libraries
    libraries=$(find "$TOP/root" -name '*.so*' -printf '%h\n' 2>/dev/null | sort -u | paste -sd:)
    LD_LIBRARY_PATH=$libraries "$@"
}
runs() { # NAME WORD: ends with 71 when the new program cannot run here at all, which says nothing about a configuration
    program "$1"
    beside "$new" "$2" >"$TOP/said" 2>&1 || {
        echo "the new $1 cannot run on this host as it is: $(tail -n 1 "$TOP/said")" >&2
        exit 71
    }
}
keep() { # puts the packages that will be replaced into TOP/old: fetched again (rpm), or made from what is installed (deb)
    # What a run that was interrupted has kept stays: what it has installed since may be what does not work.
    local name version each old=(${OLD[@]+"${OLD[@]}"})
    if [ "${#old[@]}" = 0 ]; then
        rm -rf -- "$TOP/before" "$TOP/old"
        for each in "${WANTED[@]}"; do
            version=$(installed "${each%% *}") || true
            [ -z "$version" ] || old+=("${each%% *} $version")
        done
    fi
    mkdir -p "$TOP/old"
    rm -rf -- "$TOP"/old/tree.*
    : >"$TOP/before.new"
    for each in ${old[@]+"${old[@]}"}; do
        if grep -qxF -- "$each" <<<"$(printf '%s\n' "${WANTED[@]}")"; then continue; fi # it stays
        read -r name version <<<"$each"
        echo "$each" >>"$TOP/before.new"
        kept "$name" "$version" >/dev/null && continue
        if [ "$(installed "$name")" != "$version" ]; then
            :
        elif by_apt; then
            again "$name"
        else rpms "$manager" --downloadonly --downloaddir="$TOP/old" reinstall -- "$name" >/dev/null || true; fi
        kept "$name" "$version" >/dev/null || echo "unkept $each"
    done
    for each in "${WANTED[@]}"; do
        version=$(installed "${each%% *}") || true
        echo "${each%% *} ${version:--} ${each#* }"
    done >"$TOP/trial.new"
    mv -f -- "$TOP/trial.new" "$TOP/trial"
    mv -f -- "$TOP/before.new" "$TOP/before"
}
again() { # NAME: makes the installed package again, without its configuration files: dpkg leaves those as they are
    local tree part
    tree=$(mktemp -d "$TOP/old/tree.XXXXXX")
    chmod 755 "$tree"
    mkdir "$tree/DEBIAN"
    dpkg-query -s "$1" | sed '/^Status: /d; /^Conffiles:/,/^[^ ]/ { /^Conffiles:/d; /^ /d }' >"$tree/DEBIAN/control"
    for part in $(dpkg-query --control-list "$1"); do
        case $part in preinst | postinst | prerm | postrm | triggers | shlibs)
            dpkg-query --control-show "$1" "$part" >"$tree/DEBIAN/$part"
            ;;
        esac
    done
    for part in preinst postinst prerm postrm; do [ ! -e "$tree/DEBIAN/$part" ] || chmod 755 "$tree/DEBIAN/$part"; done
    # shellcheck disable=SC2016
    dpkg-query -L "$1" | while IFS= read -r part; do
        if [ "$part" = /. ] || { [ -L "$part" ] && [ -d "$part" ]; } || { [ ! -e "$part" ] && [ ! -L "$part" ]; }; then continue; fi
        printf '%s\n' "${part#/}"
    done | grep -vxFf <(dpkg-query -W -f '${Conffiles}\n' "$1" | awk '{ sub(/^\//, "", $1); print NF ? $1 : "-" }') |
        tar -C / --no-recursion -cf - -T - | tar -C "$tree" -xf -
    dpkg-deb -Zgzip -z1 -b "$tree" "$tree.part" >/dev/null
    rm -rf -- "$tree"
    mv -f -- "$tree.part" "$TOP/old/$1.deb" # all of it, or nothing
}
held() { # sets holds: which of WANTED are held
    local each
    holds=()
    by_apt || return 0
    for each in "${WANTED[@]}"; do
        if apt-mark showhold "${each%% *}" 2>/dev/null | grep -qxF "${each%% *}"; then holds+=("${each%% *}"); fi
    done
}
hold() { [ "${#holds[@]}" = 0 ] || apt-mark hold "${holds[@]}" >/dev/null; }
put() { # installs TOP/new
    local code=0 files=("$TOP"/new/*)
    held
    if by_apt; then
        export DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l
        patiently dpkg --force-confold --configure -a || true # what an interrupted run left
    fi
    differing
    [ "${#words[@]}" -gt 0 ] || return 0
    if by_apt; then
        apt --no-remove --no-install-recommends --allow-downgrades --allow-change-held-packages install -- "${files[@]}" || code=$?
        hold
    else
        rpms "$manager" --disableexcludes=all install -- "${files[@]}" || code=$?
        differing
        if [ "${#words[@]}" -gt 0 ]; then code=0 && rpms "$manager" --disableexcludes=all downgrade -- "${files[@]}" || code=$?; fi
    fi
    [ "$code" = 0 ] || {
        echo "$said" >&2
        told "$code"
    }
    rm -rf -- "$TOP/new" "$TOP/tried"
}
put_back() { # installs OLD again, or what TOP/before names, from TOP/old and nothing else; fails when not every package is back then
    local file name version code=0 lost='' files=() lines
    lines=$(if [ -n "${OLD[*]-}" ]; then printf '%s\n' "${OLD[@]}"; else cat -- "$TOP/before" 2>/dev/null; fi)
    [ -n "$lines" ] || return 1
    while read -r name version; do
        [ "$(installed "$name")" != "$version" ] || continue
        if file=$(kept "$name" "$version"); then files+=("$file"); else lost+="${lost:+; }$name $version was not kept"; fi
    done <<<"$lines"
    if [ "${#files[@]}" -gt 0 ]; then
        held
        if by_apt; then patiently dpkg --force-confold -i "${files[@]}" || code=$?; else patiently rpm -U --oldpackage -- "${files[@]}" || code=$?; fi
        hold
    fi
    while read -r name version; do
        [ -z "$(kept "$name" "$version")" ] || [ "$(installed "$name")" = "$version" ] || lost+="${lost:+; }$name $version is not back"
    done <<<"$lines"
    [ -z "$lost" ] || {
        said+="${said:+; }$lost"
        code=1
    }
    return "$code"
}
