# Variables: PORTS (array of "PORT ADDRESS:PORT" to read), and those of etcd-find.sh. etcd-find.sh and certs-find.sh come before this.
# Prints everything about this host's certificates: files, their private keys, kubeconfigs, what each port serves, and since when
# the programs that use them have been running. One "key value" per line. Read-only.
# shellcheck shell=bash disable=SC2154,SC2034
tree=/etc/kubernetes/pki mine=/var/lib/kubelet/pki
printf 'clock %(%s)T\n' -1
[ -e /etc/kubernetes/kubelet.conf ] && echo joined yes
for file in /etc/kubernetes/{manifests,ha-runbooks-parked}/*.yaml; do
    name=${file##*/} kind=manifest
    [[ $file != */ha-runbooks-parked/* ]] || kind=parked
    echo "$kind ${name%.yaml}"
done
while IFS='=' read -r key value; do
    case $key in
    ActiveState) state=$value ;;
    ActiveEnterTimestamp) since=$(date -d "${value:-@0}" +%s 2>/dev/null) ;;
    esac
done < <(systemctl show kubelet -p ActiveState -p ActiveEnterTimestamp)
echo "kubelet ${state:-unknown} ${since:-0}"
if ! command -v crictl >/dev/null; then
    echo "unlisted crictl is not installed"
else
    for _ in 1 2 3; do # a busy containerd is asked again; what cannot be seen is not the same as what does not run
        why='' said=$(crictl_here ps --state running --label io.kubernetes.pod.namespace=kube-system -o json 2>/dev/null) && break
        why=$(crictl_here ps -q 2>&1 >/dev/null)
        why=${why:-no answer} said=''
        sleep 1
    done
    if [ -n "$said" ]; then echo "containers ${said//$'\n'/ }"; else echo "unlisted crictl ps: ${why//$'\n'/ }"; fi
fi
command -v openssl >/dev/null || exit 0
echo openssl yes
# All ports in parallel, and the files meanwhile: each port takes a TLS handshake, or a timeout.
exec 3< <(
    for port in "${PORTS[@]}"; do served "served ${port% *}" "${port#* }" & done
    wait
)
files=("$tree"/**/*.crt "$mine"/{kubelet-client-current.pem,kubelet-server-current.pem,kubelet.crt} /etc/kubernetes/*.conf /root/.kube/config)
for file in "${files[@]}"; do [ ! -e "$file" ] || there+=("$file"); done
if [ "${#there[@]}" -gt 0 ]; then
    stat -L -c 'changed %Y %n' -- "${there[@]}"
    certificates "${there[@]}"
fi
for file in "$tree"/**/*.crt; do
    key=${file%.crt}.key
    public=missing
    if [ -e "$key" ]; then
        public=$(openssl pkey -pubout -in "$key" 2>/dev/null) # between lines "-----"
        public=${public#*$'\n'} public=${public%$'\n'*} public=${public//$'\n'/}
    fi
    echo "key ${public:-unreadable} $file"
done
cat <&3
exit 0
