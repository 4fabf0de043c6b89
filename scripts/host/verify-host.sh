# Variables: API (ADDRESS:PORT of this host's own API server, or "" where there is none), and certs-find.sh, which stands before this.
# What can be told about one host of the cluster from its own files and programs, one "key value" a line; the values of a
# certificate are parted by tabs. Read-only.
# shellcheck shell=bash disable=SC2154
pki=/etc/kubernetes/pki
printf 'clock %(%s)T\n' -1
units=(kubelet containerd)
mapfile -t states < <(systemctl is-active "${units[@]}")
for at in "${!units[@]}"; do echo "unit ${units[at]} ${states[at]}"; done
[ -e /etc/kubernetes/kubelet.conf ] && echo joined yes
for file in /etc/kubernetes/manifests/*.yaml; do
    name=${file##*/}
    echo "manifest ${name%.yaml}"
done
# What the control planes must have in common, or a token of one is refused by another.
while read -r sum file; do echo "sum $sum ${file#"$pki/"}"; done < <(sha256sum "$pki"/{ca.crt,front-proxy-ca.crt,etcd/ca.crt,sa.pub} 2>/dev/null)
command -v openssl >/dev/null || exit 0
echo openssl yes
certificates "$pki"/**/*.crt /var/lib/kubelet/pki/kubelet-client-current.pem /etc/kubernetes/*.conf
if [ -n "$API" ]; then served "certificate served" "$API"; fi
exit 0
