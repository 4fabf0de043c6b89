# How to read from the API server as the administrator; stands before another script. Variables: SERVER (its URL), and "work", a
# private directory that the script makes and removes. get_all takes lines "FILE PATH" on its standard input; who has no file
# afterwards was not answered. Not with apiserver-kubelet-client: from 1.36.1, 1.35.5, 1.34.8 and 1.33.12 on it may only read Nodes.
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
get_all() {
    if [ ! -r "$conf" ]; then
        echo "$conf is missing; without it nothing can be read from the API server" >&2
        return 1
    fi
    if command -v curl >/dev/null && identity; then # one connection for all
        sed "s|\(.*\) \(.*\)|url = \"$SERVER\2\"\noutput = \"\1\"|" |
            curl -sS -g --fail --max-time 600 --config - -A ha-runbooks --noproxy '*' --cacert /etc/kubernetes/pki/ca.crt \
                --cert "$work/identity"
    else
        # shellcheck disable=SC2016
        xargs -r -P 4 -n 2 bash -c 'kubectl --kubeconfig="$1" --server="$0" --request-timeout=10m \
            get --raw "$3" >"$2" || rm -f -- "$2"' "$SERVER" "$conf"
    fi
}
