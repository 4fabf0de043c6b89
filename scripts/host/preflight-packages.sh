# Variables: VERSION (of Kubernetes, such as 1.30.0), PACKAGES (array).
# Prints "offered NAME VERSION WHERE" of each version that the host's repositories have, "lists kept|fresh|none", "source TEXT
# open|closed" of where the wanted version comes from, and "trouble TEXT". Changes no list of the host: where the wanted version is
# not in those that it has, apt fetches new ones into a scratch directory. (dnf and yum renew their cache as with any command.)
# shellcheck shell=bash disable=SC2154,SC2153
for each in "${proxies[@]}"; do export "${each?}"; done # the host's own (session.sh)
madison() { # [OPTION...]
    apt-cache "$@" madison -- "${PACKAGES[@]}" 2>/dev/null | while IFS=' |' read -r name version where _; do
        echo "offered $name $version $where"
    done
}
has_wanted() { [[ $1 == *"offered kubeadm $VERSION"[-\ ]* ]]; }
answers() { # URI
    local rest=${1#*://} host port=80
    host=${rest%%/*}
    if [[ $1 == https:* ]]; then port=443; fi
    host=${host##*@}
    case $host in *:*[!0-9]*) ;; *:*) port=${host##*:} host=${host%:*} ;; esac
    # shellcheck disable=SC2016
    timeout 3 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$host" "$port" 2>/dev/null
}
by_apt() {
    local said how=kept scratch where=''
    said=$(madison)
    if ! has_wanted "$said"; then
        how=fresh
        scratch=$(mktemp -d) || return
        # shellcheck disable=SC2064
        trap "rm -rf -- '$scratch'" EXIT
        trap 'exit 1' TERM INT HUP
        mkdir -p "$scratch"/lists/partial "$scratch"/cache/archives/partial
        options=(-o "Dir::State::Lists=$scratch/lists" -o "Dir::Cache=$scratch/cache" -o APT::Sandbox::User=root -o Acquire::Languages=none)
        error=$(timeout --foreground 45 apt-get -qq "${options[@]}" update 2>&1 >/dev/null) || how=none
        if [ -n "$error" ]; then echo "trouble ${error%%$'\n'*}"; fi
        said=$(madison "${options[@]}")
    fi
    echo "lists $how"
    if [ -n "$said" ]; then echo "$said"; fi
    # A repository behind a proxy is the proxy's to reach; one that was just asked has answered.
    if [ $how = kept ] && [ "${#proxies[@]}" = 0 ] && ! apt-config dump | grep -qi '^Acquire::https\?::Proxy.* "[^"]'; then
        where=${said#*"offered kubeadm $VERSION"}
        where=${where%%$'\n'*} where=${where#* }
        case $where in
        http://* | https://*) if answers "$where"; then echo "source $where open"; else echo "source $where closed"; fi ;;
        esac
    fi
}
by_dnf() { # dnf|yum
    local said
    # Excluded packages count: they are installed with --disableexcludes.
    said=$(timeout --foreground 60 "$1" -q --disableexcludes=all --showduplicates list "${PACKAGES[@]}" 2>&1)
    awk '/^Available Packages/ { on = 1; next } /^[A-Z][a-z]+ Packages/ { on = 0 } on && NF == 3 { sub(/\.[^.]*$/, "", $1); sub(/^[0-9]+:/, "", $2); print "offered", $1, $2, $3 }' <<<"$said"
    grep -i -m 1 '^error:' <<<"$said" | sed 's/^/trouble /'
    echo "lists fresh"
}
if command -v apt-get >/dev/null; then by_apt; elif manager=$(command -v dnf || command -v yum); then by_dnf "$manager"; fi
true
