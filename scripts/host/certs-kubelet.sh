# Variables: ACTION (client or serving), CERTIFICATE (PEM, for the key that certs-request.sh made; client only).
# client: installs the kubelet's new client certificate, in the file and format that the kubelet itself uses. serving: moves the
# self-signed serving certificate away; the kubelet makes a new one when there is none. Both restart the kubelet. Safe to run again.
# https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/troubleshooting-kubeadm/#kubelet-client-cert
# shellcheck shell=bash disable=SC2154
set -eu
trap '' TERM HUP INT
pki=/var/lib/kubelet/pki conf=/etc/kubernetes/kubelet.conf
current=$pki/kubelet-client-current.pem
case $ACTION in
client)
    new=$pki/ha-runbooks-new.key
    cmp -s <(openssl x509 -noout -pubkey <<<"$CERTIFICATE") <(openssl pkey -pubout -in "$new") || {
        echo "the certificate does not match the key in $new" >&2
        exit 1
    }
    file=$pki/kubelet-client-$(date +%Y-%m-%d-%H-%M-%S).pem
    { printf '%s\n' "$CERTIFICATE" && cat "$new"; } >"$file.new"
    sync -- "$file.new"
    mv -f -- "$file.new" "$file"
    ln -sfn -- "$file" "$current.new"
    mv -fT -- "$current.new" "$current"
    if grep -q '^ *client-certificate-data:' "$conf"; then # kubeadm does the same once the kubelet has a certificate
        cp -p -- "$conf" "$conf.new"
        sed -E "s#^( *)client-(certificate|key)-data:.*#\1client-\2: $current#" "$conf" >"$conf.new"
        sync -- "$conf.new"
        mv -f -- "$conf.new" "$conf"
    fi
    rm -f -- "$new"
    ;;
serving)
    for name in kubelet.crt kubelet.key; do
        if [ -e "$pki/$name" ]; then mv -f -- "$pki/$name" "$pki/$name.before"; fi
    done
    ;;
esac
sync -- "$pki"
systemctl reset-failed kubelet 2>/dev/null || true
systemctl restart kubelet
