# How to ask an API server as the administrator; stands before another script. Variables: none.
# api get|create|delete SERVER[#NAME] SECONDS PATH [JSON] prints the answer; when it is refused or does not come, it prints why and returns 1.
# NAME: one that may be in the server's certificate in the place of its address, which clusters that others built may not have there.
# By curl where that is installed and admin.conf holds a certificate: it takes a quarter of kubectl's processor time. kubectl is asked where
# that is not so, and where the answer is an error that it puts better. Needs no temporary file: the disk may be full.
# shellcheck shell=bash
conf=/etc/kubernetes/admin.conf
api_ca='' api_certificate='' api_key=''
login() { # sets these three, which no script takes for something else, to the PEM texts of the only user in admin.conf
    local name value
    command -v curl >/dev/null || return
    while read -r name value; do
        case $name in
        certificate-authority-data:) [ -z "$api_ca" ] || return; api_ca=$value ;;
        client-certificate-data:) [ -z "$api_certificate" ] || return; api_certificate=$value ;;
        client-key-data:) [ -z "$api_key" ] || return; api_key=$value ;;
        token: | tokenFile: | exec: | auth-provider: | username: | client-certificate:) return 1 ;; # another user, who may be the one
        esac
    done 2>/dev/null <"$conf"
    [ -n "$api_ca" ] && [ -n "$api_certificate" ] && [ -n "$api_key" ] || return
    # All at once, with lines "@" between them ("CkAK"). A pipe: before bash 5.1, a here-string is a file.
    value=$(printf %s "${api_ca}CkAK${api_certificate}CkAK$api_key" | base64 -d) || return
    api_ca=${value%%$'\n@\n'*} api_key=${value##*$'\n@\n'} value=${value#*$'\n@\n'}
    api_certificate=${value%%$'\n@\n'*}
    [ "$value" != "$api_certificate" ]
}
if login 2>/dev/null; then by_curl=yes; else by_curl=no; fi
by_curl() { # METHOD URL SECONDS JSON: as `api`; returns 2 when kubectl is to be asked
    local said code http authority words=(-m "$3")
    [ "$by_curl" = yes ] || return 2
    case $1 in
    create) words+=(-H 'Content-Type: application/json' --data-binary @-) ;;
    delete) words+=(-X DELETE) ;;
    esac
    if [ "$tls_name" ]; then # the same server, by its other name
        authority=${2#https://} authority=${authority%%/*}
        words+=(--connect-to "::$authority")
        set -- "$1" "https://$tls_name:${authority##*:}/${2#https://*/}" "$3" "$4"
    fi
    # -q: nobody's .curlrc
    said=$(printf %s "$4" | curl -q -sS -g --noproxy '*' -A ha-runbooks "${words[@]}" -w '\n%{http_code}' --cacert <(echo "$api_ca") \
        --cert <(echo "$api_certificate") --key <(echo "$api_key") -- "$2" 2>&1)
    code=$?
    http=${said##*$'\n'} said=${said%$'\n'*}
    case $1:$code:$http in
    *:0:2*) echo "$said" && return ;;
    *:28:*) said="timeout: no answer within $3 s" ;;
    get:0:*) [[ $said == *'[-]'* ]] || return 2 ;; # the checks of a server that is not ready
    get:* | *:0:4* | *:2:* | *:7:* | *:35:* | *:58:* | *:60:* | *:77:* | *:126:* | *:127:*) return 2 ;; # not sent, or not carried out: may be sent again
    *:0:*) said=$(refused "$said") ;;
    esac
    echo "$said"
    return 1
}
# several SERVER SECONDS DIRECTORY WHAT... asks for everything at the same time, by one curl over one connection. WHAT: a path to read; or a path,
# a blank, and JSON to create there, which is on a command line, so no secret. Sets got[N], from 0 on, to each answer that is a success. For the
# others ask `api`, which can do without this curl, and says why. DIRECTORY: a private one for its files.
# shellcheck disable=SC2034 # got
several() {
    local each said number=0 server=$1 seconds=$2 directory=$3 words=()
    shift 3
    got=()
    [ "$by_curl" = yes ] && [[ $server != *'#'* ]] || return 0
    for each; do
        [ $number = 0 ] || words+=(--next)
        words+=(-g --noproxy '*' -A ha-runbooks -m "$seconds" -w '%{http_code} %{filename_effective}\n' -o "$directory/got.$number"
            --cacert /dev/fd/6 --cert /dev/fd/7 --key /dev/fd/8)
        [[ $each != *' '* ]] || words+=(-H 'Content-Type: application/json' --data-raw "${each#* }")
        words+=("$server${each%% *}")
        number=$((number + 1))
    done
    said=$(curl -q -sS -Z "${words[@]}" 2>/dev/null 6< <(echo "$api_ca") 7< <(echo "$api_certificate") 8< <(echo "$api_key"))
    for ((number = 0; number < $#; number++)); do
        each=$directory/got.$number
        [[ $'\n'$said$'\n' == *$'\n2'??" $each"$'\n'* ]] || continue
        each=$(<"$each")
        [[ $each != '{'*'}' ]] || got[number]=$each # one that broke off has no end
    done
}
refused() { # ANSWER: what a Status says, as kubectl puts it
    local text='"message":"(([^"\\]|\\.)*)"' why='"reason":"([A-Za-z]+)"'
    [[ $1 =~ $text ]] || { echo "$1" && return; }
    text=${BASH_REMATCH[1]}
    [[ $1 =~ $why ]]
    echo "Error from server${BASH_REMATCH[1]:+ (${BASH_REMATCH[1]})}: ${text//\\\"/\"}"
}
api() {
    local said status server=${2%%#*}
    if [ "$server" = "$2" ]; then
        tls_name='' api_by "$@"
        return
    fi
    said=$(tls_name='' api_by "$1" "$server" "${@:3}")
    status=$?
    case $status:$said in 0:*) ;; *certificate* | *x509*) # nothing was sent to a server that was not trusted
        said=$(tls_name=${2#*#} api_by "$1" "$server" "${@:3}")
        status=$?
        ;;
    esac
    printf '%s\n' "$said"
    return "$status"
}
api_by() { # as `api`, without NAME; tls_name: the name in the certificate, "" for that of the URL
    local said status words=()
    by_curl "$1" "$2$4" "$3" "${5-}"
    case $? in 0) return ;; 1) return 1 ;; esac
    [ "$1" != create ] || words=(-f -)
    [ -z "$tls_name" ] || words+=(--tls-server-name="$tls_name")
    # Without collecting garbage kubectl takes two thirds of the time, for an answer of a few KiB.
    said=$(printf %s "${5-}" | GOGC=off kubectl --kubeconfig="$conf" --server="$2" --request-timeout="$3s" "$1" --raw "$4" "${words[@]}" 2>&1)
    status=$?
    printf '%s\n' "$said" | grep -v '^Warning: ' # of the server: a version of the API that is deprecated
    [ $status = 0 ]
}
