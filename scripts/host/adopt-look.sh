# Variables: API_PORT.
# Prints what a host is, for somebody who has no hosts.yaml of it. Read-only. One "key value" a line:
#   hostname NAME, address INTERFACE ADDRESS/BITS   without link-local addresses
#   server FILE URL                 the API server in each kubeconfig of kubeadm
#   resolves NAME ADDRESS           what the names in these URLs are for this host
#   peer ADDRESS                    who talks, or has just talked, to the API server of this host
#   neighbour ADDRESS               who this host has just heard of on its own network
#   active UNIT                     of the units that matter here
#   snapshot FILE pki|alone         a file that makes snapshots of etcd, and whether it also copies kubeadm's certificates
#   containerd_root PATH, oom_restricted yes        of containerd's configuration, where they stand there
#   proxy http|https|no TEXT        the proxies that containerd was started with
# shellcheck shell=bash disable=SC2154
shopt -s nullglob
read -r name </proc/sys/kernel/hostname && echo "hostname $name"
while read -r _ interface family address _; do
    case $family in inet | inet6) echo "address ${interface%%@*} $address" ;; esac
done < <(ip -o address show scope global)
names=()
for file in /etc/kubernetes/{admin,super-admin,kubelet,controller-manager,scheduler}.conf; do
    [ -r "$file" ] || continue
    url=$(sed -nE "s/^[[:space:]]*server:[[:space:]]*[\"']?([^\"'[:space:]]+).*/\1/p" "$file" | head -n 1)
    [ -n "$url" ] || continue
    echo "server ${file##*/} $url"
    name=${url#*://} name=${name%%/*}
    case $name in
    \[*) ;;
    *[!0-9.:]*) names+=("${name%%:*}") ;;
    esac
done
if [ ${#names[@]} -gt 0 ]; then
    while read -r name; do
        timeout 5 getent ahosts "$name" | while read -r address _; do echo "resolves $name $address"; done | sort -u
    done < <(printf '%s\n' "${names[@]}" | sort -u)
fi
# A check of a load balancer lasts some milliseconds; the kernel remembers it for some seconds or minutes.
{
    for family in ipv4 ipv6; do timeout 5 conntrack -f "$family" -L -p tcp --orig-port-dst "$API_PORT"; done
    grep -E " dport=$API_PORT .* sport=$API_PORT " /proc/net/nf_conntrack
} 2>/dev/null | sed -nE 's/^[^=]* src=([^ ]+) dst=.*/peer \1/p' | sort -u
ss -Htn state all "( sport = :$API_PORT )" 2>/dev/null | awk '$1 != "LISTEN" { print $5 }' |
    sed -E 's/:[0-9*]+$//; s/^\[//; s/\]$//; s/^::ffff://; s/%.*//' | sort -u | sed -n 's/^[0-9a-f].*/peer &/p'
ip neigh show 2>/dev/null | awk '/lladdr/ && !/FAILED/ { print "neighbour " $1 }' | sort -u
for unit in haproxy keepalived kubelet containerd docker crio nginx; do
    if systemctl -q is-active "$unit" 2>/dev/null; then echo "active $unit"; fi
done
while IFS= read -r file; do
    if grep -qs 'kubernetes/pki\|/etc/kubernetes' <(grep -v -- '--ca\(cert\|file\)\|--cert\|--key' "$file"); then copies=pki; else copies=alone; fi
    echo "snapshot $file $copies"
done < <(grep -rlIsE 'snapshot[[:space:]]+save' /etc/crontab /etc/cron.* /var/spool/cron /etc/systemd/system /usr/local/bin /usr/local/sbin \
    /opt/*.sh /root/*.sh | sort -u)
pid=$(systemctl show containerd -p MainPID --value 2>/dev/null)
if [ "${pid:-0}" != 0 ]; then
    tr '\0' '\n' <"/proc/$pid/environ" 2>/dev/null | tr -d ' \r' | sed -nE 's/^(HTTP|http)_(PROXY|proxy)=(.*)/proxy http \3/p
        s/^(HTTPS|https)_(PROXY|proxy)=(.*)/proxy https \3/p; s/^(NO|no)_(PROXY|proxy)=(.*)/proxy no \3/p' | sort -u
fi
if [ -r /etc/containerd/config.toml ]; then
    sed -nE 's/^root[[:space:]]*=[[:space:]]*["'\'']([^"'\'']+).*/containerd_root \1/p' /etc/containerd/config.toml | head -n 1
    if grep -qE '^[[:space:]]*restrict_oom_score_adj[[:space:]]*=[[:space:]]*true' /etc/containerd/config.toml; then echo 'oom_restricted yes'; fi
fi
true
