#!/bin/bash
# etcd and etcdctl take an intermediate CA alone as their anchor (--trusted-ca-file, --cacert); `openssl verify -CAfile` with the same file
# calls the same certificate not valid: "unable to get issuer certificate". Go trusts any certificate in the file that it is given, openssl
# only one that signed itself, unless it is told -partial_chain.
# Where it matters: a site whose PKI gives etcd an intermediate CA, as companies do. The usual check of a member's certificate fails, and
# sends people to renew what is in order. Seen with etcd 3.4.23 and openssl 3.0 of Debian 12.
# Exits 0 while that is so, 1 once it has changed. Needs apt-get with a mirror of Debian 12, and openssl; etcd listens on loopback only.
set -euo pipefail
shopt -s inherit_errexit
directory=$(mktemp -d)
etcd=''
trap '[ -z "$etcd" ] || kill "$etcd"; rm -rf "$directory"' EXIT
cd "$directory"
# shellcheck disable=SC2016 # the format of apt-get, not ours
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Codename: bookworm' | head -n 1)
[ -n "$mirror" ] || { echo 'apt-get has no mirror of Debian 12 here' >&2 && exit 2; }
mkdir -p lists/partial cache/archives/partial
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror bookworm main" >sources.list
options=(-q -o "Dir::Etc::SourceList=$PWD/sources.list" -o Dir::Etc::SourceParts=/dev/null -o "Dir::State::Lists=$PWD/lists" -o "Dir::Cache=$PWD/cache"
    -o Acquire::Languages=none -o APT::Sandbox::User=root)
apt-get "${options[@]}" update >/dev/null 2>&1
apt-get "${options[@]}" download "etcd-server=3.4.23*" "etcd-client=3.4.23*" >/dev/null 2>&1
for package in ./*.deb; do dpkg -x "$package" root; done

key() { openssl ecparam -genkey -name prime256v1 -noout -out "$1.key"; }
signed() { # NAME CA EXTENSIONS
    key "$1"
    openssl req -new -key "$1.key" -subj "/CN=$1" | openssl x509 -req -days 2 -CA "$2.crt" -CAkey "$2.key" -CAcreateserial \
        -extfile <(printf '%s\n' "$3") -out "$1.crt" 2>/dev/null
}
key company
openssl req -x509 -key company.key -subj /CN=company -days 2 -out company.crt
signed department company 'basicConstraints=critical,CA:TRUE'
signed member department $'subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth'

address=https://127.0.0.1:23799
root/usr/bin/etcd --data-dir data --listen-client-urls "$address" --advertise-client-urls "$address" --listen-peer-urls http://127.0.0.1:23809 \
    --initial-advertise-peer-urls http://127.0.0.1:23809 --initial-cluster default=http://127.0.0.1:23809 --client-cert-auth \
    --trusted-ca-file department.crt --cert-file member.crt --key-file member.key >etcd.log 2>&1 &
etcd=$!
health=''
for _ in {1..30}; do
    health=$(ETCDCTL_API=3 root/usr/bin/etcdctl --endpoints "$address" --cacert department.crt --cert member.crt --key member.key endpoint health 2>&1) && break
    sleep 1
done
echo "etcdctl $(ETCDCTL_API=3 root/usr/bin/etcdctl version | sed -n 's/^etcdctl version: //p'): ${health%%: successfully*}"
verify=$(openssl verify -CAfile department.crt member.crt 2>&1 || true)
echo "$(openssl version | cut -d' ' -f1,2): $(sed -n 's/^error //p' <<<"$verify" | head -n 1)"
partial=$(openssl verify -partial_chain -CAfile department.crt member.crt 2>&1 || true)
echo "with -partial_chain: $partial"
[[ $health == *'is healthy'* && $verify == *'unable to get issuer certificate'* && $partial == 'member.crt: OK' ]]
