# Functions that read certificates on this host; another script follows. Variables: none. Read-only.
# certificates FILE... prints one line for each certificate in PEM files and kubeconfigs: "certificate PATH", then what openssl says
# about it, separated by tabs; nothing for a file without one. served KEY ADDRESS:PORT does the same for the certificate served there.
# shellcheck shell=bash disable=SC2094
shopt -s globstar nullglob
certificate() { # KEY NAME: the certificate on standard input
    local shown
    shown=$(openssl x509 -noout -startdate -enddate -fingerprint -sha256 -subject -nameopt RFC2253 2>/dev/null) || return 0
    printf '%s %s\t%s\n' "$1" "$2" "${shown//$'\n'/$'\t'}"
}
certificates() {
    local file key value
    for file in "$@"; do
        [ -r "$file" ] || continue
        case $file in
        *.crt | *.pem) certificate certificate "$file" <"$file" ;;
        *)
            while read -r key value; do
                if [ "$key" = client-certificate-data: ]; then base64 -d <<<"$value" 2>/dev/null | certificate certificate "$file"; fi
            done <"$file"
            ;;
        esac
    done
}
served() { # a busy server is asked twice: without an answer, it would look as if it had to be restarted
    local patience shown
    for patience in 5 10; do
        shown=$(timeout "$patience" openssl s_client -connect "$2" </dev/null 2>/dev/null | certificate "${1% *}" "${1##* }")
        [ -z "$shown" ] || break
    done
    [ -z "$shown" ] || echo "$shown"
}
