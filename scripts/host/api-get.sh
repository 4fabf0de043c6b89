# How to read from the API server as the administrator; stands before another script. Variables: SERVER (its URL), and "work", a
# private directory that the script makes and removes. get_all takes lines "FILE PATH" on its standard input. Who has no FILE
# afterwards was not answered, or not to the end; FILE.no then holds the refusal of the API server, if there was one. Not with
# apiserver-kubelet-client: from 1.36.1, 1.35.5, 1.34.8 and 1.33.12 on it may only read Nodes.
# shellcheck shell=bash disable=SC2154
conf=/etc/kubernetes/admin.conf
identity() { # the administrator's certificate and key, for curl; fails where admin.conf holds none (a token, a plugin)
    local certificate='' key='' user='{.users[0].user'
    [ ! -s "$work/identity" ] || return 0
    { read -r certificate && read -r key; } < <(kubectl --kubeconfig="$conf" config view --raw --minify --flatten \
        -o jsonpath="$user.client-certificate-data}{'\n'}$user.client-key-data}{'\n'}" </dev/null)
    [ -n "$certificate" ] && [ -n "$key" ] || return
    { base64 -d <<<"$certificate" && echo && base64 -d <<<"$key"; } >"$work/identity"
}
is_whole() { # FILE ENDED: whether all of it has arrived; ENDED is curl's status of this transfer, or "-" where curl does not tell it
    [ "$2" = 0 ] || { [ "$2" = - ] && [[ $(tail -c 20 "$1" | tr -d '[:space:]') == *\} ]]; }
}
get_all() {
    local code ended file major minor result=-
    if [ ! -r "$conf" ]; then
        echo "$conf is missing; without it nothing can be read from the API server" >&2
        return 1
    fi
    if command -v curl >/dev/null && identity; then # one connection for all
        IFS='. ' read -r _ major minor _ < <(curl --version </dev/null)
        ((${major:-0} * 1000 + ${minor:-0} < 7075)) || result='%{exitcode}' # curl's own status is that of the last transfer only
        while read -r code ended file; do
            case $code in
            2*) ! is_whole "$file" "$ended" || continue ;;
            000) ;;
            *) { echo "HTTP $code" && head -c 2000 "$file"; } >"$file.no" 2>/dev/null ;;
            esac
            rm -f -- "$file"
        done < <(sed "s|\(.*\) \(.*\)|url = \"$SERVER\2\"\noutput = \"\1\"|" |
            curl -sS -g --max-time 600 --config - -A ha-runbooks --noproxy '*' --cacert /etc/kubernetes/pki/ca.crt \
                --cert "$work/identity" -w "%{http_code} $result %{filename_effective}\n")
    else
        # shellcheck disable=SC2016
        xargs -r -P 4 -n 2 bash -c 'if kubectl --kubeconfig="$1" --server="$0" --request-timeout=10m \
            get --raw "$3" >"$2" 2>"$2.no"; then rm -f -- "$2.no"; else rm -f -- "$2"; fi' "$SERVER" "$conf"
    fi
}
refusal() { # FILE ERRORS: why there is no FILE, on one line; ERRORS is what get_all wrote on its standard error
    if [ -s "$1.no" ]; then tail -n 5 "$1.no" | tr -s '\n' ' '; else { grep '^curl: ' "$2" || cat "$2"; } | tail -n 1; fi
}
