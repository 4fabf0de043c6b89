# Variables: WHERE (ADDRESS:PORT of the proxy, IPv6 in brackets), ADDRESS (without), TOKEN (may be empty), JOBS (array: "NAME yes|no", whether
# with the token). Prints "NAME STATUS" for each, the status of HTTP, or why there is none. Read-only. The token is on no command line.
# shellcheck shell=bash disable=SC2154
command -v openssl >/dev/null || { echo "openssl is not installed" >&2 && exit 1; }
ca=/etc/kubernetes/pki/ca.crt
for each in "${JOBS[@]}"; do
    read -r name asks <<<"$each"
    header=''
    if [ "$asks" = yes ] && [ -n "$TOKEN" ]; then header="Authorization: Bearer $TOKEN"$'\r\n'; fi
    said=$(printf 'GET /%s/metrics HTTP/1.0\r\nHost: %s\r\n%s\r\n' "$name" "$WHERE" "$header" |
        timeout 15 openssl s_client -quiet -connect "$WHERE" -CAfile "$ca" -verify_return_error -verify_ip "$ADDRESS" 2>&1 |
        awk '/^HTTP\// && !code { code = $2 } /[Ee]rror|errno/ && !why { why = $0 } END { print code ? code : (why ? why : "no answer") }')
    echo "$name $said"
done
true
