# Variables: API (ADDRESS:PORT of this host's own API server, or "" where there is none).
# What can be told about one host of the cluster from its own files and programs, one "key value" a line; the values of a
# certificate are parted by tabs. Read-only.
# shellcheck shell=bash disable=SC2154,SC2094
shopt -s globstar nullglob
pki=/etc/kubernetes/pki
certificate() { # NAME: the certificate on standard input; nothing when it is none
    local shown
    shown=$(openssl x509 -noout -enddate -fingerprint -sha256 2>/dev/null) || return
    printf 'certificate %s\t%s\n' "$1" "${shown//$'\n'/$'\t'}"
}
printf 'clock %(%s)T\n' -1
for unit in kubelet containerd; do echo "unit $unit $(systemctl is-active "$unit")"; done
[ -e /etc/kubernetes/kubelet.conf ] && echo joined yes
for file in /etc/kubernetes/manifests/*.yaml; do
    name=${file##*/}
    echo "manifest ${name%.yaml}"
done
# What the control planes must have in common, or a token of one is refused by another.
for file in "$pki"/{ca.crt,front-proxy-ca.crt,etcd/ca.crt,sa.pub}; do
    [ -r "$file" ] && read -r sum _ < <(sha256sum "$file") && echo "sum $sum ${file#"$pki/"}"
done
command -v openssl >/dev/null || exit 0
echo openssl yes
for file in "$pki"/**/*.crt /var/lib/kubelet/pki/kubelet-client-current.pem; do
    if [ -r "$file" ]; then certificate "$file" <"$file"; fi
done
for file in /etc/kubernetes/*.conf; do
    while read -r key value; do
        if [ "$key" = client-certificate-data: ]; then base64 -d <<<"$value" 2>/dev/null | certificate "$file"; fi
    done <"$file"
done
if [ -n "$API" ]; then timeout 5 openssl s_client -connect "$API" </dev/null 2>/dev/null | certificate served; fi
exit 0
