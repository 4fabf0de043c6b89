# Functions that read certificates on this host; another script follows. Variables: none. Read-only.
# certificates FILE... prints one line for the first certificate of each PEM file, and one for each user's in a kubeconfig: "certificate
# PATH", a tab, and the certificate in base64 (in a kubeconfig: of its PEM text); nothing for a file without one. served KEY
# ADDRESS:PORT does the same for the certificate served there, or prints "silent PORT REASON". No private key is printed. openssl,
# which takes up to 50 ms a certificate, is left out.
# shellcheck shell=bash disable=SC2094
shopt -s globstar nullglob
certificate() { # KEY NAME: the first certificate of the PEM text on standard input
    local line inside='' body=''
    while read -r line || [ -n "$line" ]; do
        line=${line%$'\r'}
        case $line in
        '-----BEGIN CERTIFICATE-----') inside=yes ;;
        '-----END CERTIFICATE-----') break ;;
        *[!A-Za-z0-9+/=]*) [ -z "$inside" ] || return 0 ;; # a torn file: what follows may be a key
        *) [ -z "$inside" ] || body+=$line ;;
        esac
    done
    [ -z "$body" ] || printf '%s %s\t%s\n' "$1" "$2" "$body"
}
certificates() {
    local file key value
    for file in "$@"; do
        [ -r "$file" ] || continue
        case $file in
        *.crt | *.pem) certificate certificate "$file" <"$file" ;;
        *)
            while read -r key value; do
                [ "$key" != client-certificate-data: ] || printf 'certificate %s\t%s\n' "$file" "$value"
            done <"$file"
            ;;
        esac
    done
}
served() { # a busy server is asked again: without an answer, it would look as if it had to be restarted
    local patience said shown code port=${1##* }
    for patience in 5 10 15; do
        # Nothing is verified here, and to read the system's own CAs takes two thirds of the time.
        said=$(SSL_CERT_FILE=/dev/null SSL_CERT_DIR=/dev/null timeout "$patience" openssl s_client -connect "$2" </dev/null 2>&1)
        code=$?
        shown=$(certificate "${1% *}" "$port" <<<"$said")
        [ -z "$shown" ] || break
        if [ "$code" -ne 124 ]; then # it said no at once: only at the VIP (port 0) that may pass by itself
            [ "$port" = 0 ] || break
            sleep 1
        fi
    done
    [ -z "$shown" ] || { echo "$shown" && return; }
    case $code:$said in
    124:*) echo "silent $port no answer within $patience s, asked three times" ;;
    *refused*) echo "silent $port the connection was refused" ;;
    *"o route to host"* | *nreachable*) echo "silent $port there is no route to it" ;;
    *) echo "silent $port the connection was closed without a certificate" ;;
    esac
}
