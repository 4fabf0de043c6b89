# When the certificates of a control plane host end, as a file for node_exporter's textfile collector. Installed below "#!/bin/bash" and
# certs-find.sh, whose functions it uses, and started by ha-runbooks-certs.timer. Reads, and writes that file.
# Environment: SITE (its name), ADDRESS (of this host, IPv6 in brackets), DIRECTORY (of the textfile collector).
# shellcheck shell=bash
set -u
umask 022
command -v openssl >/dev/null || { echo "openssl is not installed" >&2 && exit 1; }
tree=/etc/kubernetes/pki mine=/var/lib/kubelet/pki
ending() { # a line of certs-find.sh: when its certificate ends, in seconds since 1970
    local encoded=${1#*$'\t'} form=DER after
    [ "$encoded" != "$1" ] || return
    [[ $encoded != LS0tLS1* ]] || form=PEM # "-----" in base64
    after=$(base64 -d <<<"$encoded" 2>/dev/null | openssl x509 -inform "$form" -noout -enddate 2>/dev/null) || return
    date -d "${after#notAfter=}" +%s
}
family() { # NAME MEANING
    printf '# HELP ha_runbooks_%s %s\n# TYPE ha_runbooks_%s gauge\n' "$1" "$2" "$1"
}
in_files() {
    local line path seconds serving="$mine/kubelet-server-current.pem"
    [ -e "$serving" ] || serving=$mine/kubelet.crt # signed by itself; left behind, and never renewed, where the API has signed one
    while IFS= read -r line; do
        path=${line#certificate } && path=${path%%$'\t'*}
        if [[ $path == *[\"\\]* ]] || ! seconds=$(ending "$line"); then continue; fi
        printf 'ha_runbooks_certificate_end_timestamp_seconds{site="%s",path="%s"} %s\n' "$SITE" "$path" "$seconds"
    done < <(certificates "$tree"/**/*.crt "$mine/kubelet-client-current.pem" "$serving" /etc/kubernetes/*.conf)
}
on_ports() { # what is served, beside the file that it should be
    local port file line seconds
    while read -r port file; do
        [ -e "$tree/$file" ] || continue
        line=$(served "served $port" "$ADDRESS:$port")
        if [[ $line != "served "* ]] || ! seconds=$(ending "$line"); then continue; fi
        printf 'ha_runbooks_certificate_served_end_timestamp_seconds{site="%s",port="%s",path="%s"} %s\n' \
            "$SITE" "$port" "$tree/$file" "$seconds"
    done <<<$'6443 apiserver.crt\n2379 etcd/server.crt\n2380 etcd/peer.crt'
}
new=$(mktemp "$DIRECTORY/.ha-runbooks-certs.XXXXXX") || exit
trap 'rm -f "$new"' EXIT
{
    family certificate_end_timestamp_seconds "When the certificate in this file ends."
    in_files
    family certificate_served_end_timestamp_seconds "When the certificate that this port serves ends, and the file that it should be."
    on_ports
    family certificates_read_timestamp_seconds "When the certificates of this host were read."
    printf 'ha_runbooks_certificates_read_timestamp_seconds{site="%s"} %(%s)T\n' "$SITE" -1
} >"$new" && chmod 0644 "$new" && mv -f "$new" "$DIRECTORY/ha-runbooks-certs.prom"
