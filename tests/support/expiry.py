"""Certificates that have expired: every one of a cluster is replaced by one for a time in the past.

The lab's hosts share this machine's clock, so nobody can wait until certificates expire. The cluster's own CAs sign the same
certificates for another time; everything else in them stays the same.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.support.operator import Operator, sh

AGO = r"""
set -eu
cd "$(mktemp -d)"
signed_long_ago() { # CERTIFICATE KEY CA-CERTIFICATE CA-KEY: the same certificate, but for another time, on standard output
    openssl x509 -in "$1" -x509toreq -copy_extensions copy -signkey "$2" -out request 2>/dev/null
    : >index
    printf '%s\n' '[ca]' default_ca=x '[x]' database=index new_certs_dir=. serial=serial rand_serial=yes policy=p copy_extensions=copy \
        default_md=sha256 unique_subject=no '[p]' commonName=supplied organizationName=optional >conf
    openssl ca -batch -config conf -notext -preserveDN -startdate 20200101000000Z -enddate 20200201000000Z \
        -cert "$3" -keyfile "$4" -in request -out signed 2>said || { cat said >&2 && exit 1; }
    cat signed
}
"""
ALL_OF_A_MASTER = (
    AGO
    + r"""
pki=/etc/kubernetes/pki
old() { signed_long_ago "$pki/$1.crt" "$pki/$1.key" "$pki/$2.crt" "$pki/$2.key" >new && cat new >"$pki/$1.crt"; }
for name in apiserver apiserver-kubelet-client; do old $name ca; done
for name in etcd/server etcd/peer etcd/healthcheck-client apiserver-etcd-client; do old $name etcd/ca; done
old front-proxy-client front-proxy-ca
for conf in admin super-admin controller-manager scheduler; do
    path=/etc/kubernetes/$conf.conf
    [ -e "$path" ] || continue  # super-admin.conf: from Kubernetes 1.29 on, and on the first host only
    sed -n 's/^ *client-certificate-data: //p' $path | base64 -d >crt
    sed -n 's/^ *client-key-data: //p' $path | base64 -d >key
    data=$(signed_long_ago crt key $pki/ca.crt $pki/ca.key | base64 -w0)
    sed -i "s#client-certificate-data: .*#client-certificate-data: $data#" $path
done
"""
)
A_KUBELET = (
    AGO
    + r"""
pem=/var/lib/kubelet/pki/kubelet-client-current.pem
openssl x509 -in $pem -out crt
openssl pkey -in $pem -out key
signed_long_ago crt key ca.crt.given ca.key.given >new
cat key >>new
cat new >"$(readlink -f $pem)"
"""
)

KNOCK = (
    AGO
    + r"""
pki=/etc/kubernetes/pki/etcd
signed_long_ago $pki/healthcheck-client.crt $pki/healthcheck-client.key $pki/ca.crt $pki/ca.key >old
for i in {1..9}; do
    openssl s_client -connect 127.0.0.1:2379 -cert old -key $pki/healthcheck-client.key </dev/null >/dev/null 2>&1 || true
done
"""
)


def knock(operator: Operator, host: str) -> None:
    """Connect to the etcd of ``host`` with a certificate that has expired, as somebody does whose certificate nobody renewed."""
    sh(operator, host, KNOCK)


def end_everything(operator: Operator) -> None:
    """Replace every certificate by an expired one, and restart everything that uses them."""
    site = operator.lab.site()
    masters = [host.name for host in site.control_plane]
    authority = {name: sh(operator, masters[0], f"cat /etc/kubernetes/pki/ca.{name}") for name in ("crt", "key")}
    given = "".join(f"cat >ca.{name}.given <<'END'\n{text}END\n" for name, text in authority.items())
    kubelet = A_KUBELET.replace("pem=", f"{given}pem=", 1)

    def end(host: str) -> None:
        if host in masters:
            sh(operator, host, ALL_OF_A_MASTER)
        sh(operator, host, kubelet)
        killed = "crictl ps -q --label io.kubernetes.pod.namespace=kube-system --name '^(etcd|kube-.*r)$' | xargs -r crictl stop --timeout 1"
        if host in masters:
            sh(operator, host, f"{killed} >/dev/null")
        sh(operator, host, "systemctl restart kubelet || true")

    with ThreadPoolExecutor() as pool:
        list(pool.map(end, [host.name for host in site.nodes]))
