# Variables: STATE (MASTER or BACKUP), PRIORITY, ROUTER_ID (51 without one). A load balancer as kubeadm's HA guide has it; HAProxy also reads /etc/haproxy/conf.d, where shop.sh puts
# something else.
# https://github.com/kubernetes/kubeadm/blob/main/docs/ha-considerations.md
# shellcheck shell=bash disable=SC2154
set -eux
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -q -y haproxy keepalived
cat >/etc/haproxy/haproxy.cfg <<'EOF'
global
    log stdout format raw local0
    daemon

defaults
    mode                    http
    log                     global
    option                  httplog
    option                  dontlognull
    option http-server-close
    option forwardfor       except 127.0.0.0/8
    option                  redispatch
    retries                 1
    timeout http-request    10s
    timeout queue           20s
    timeout connect         5s
    timeout client          35s
    timeout server          35s
    timeout http-keep-alive 10s
    timeout check           10s

frontend apiserver
    bind *:6443
    mode tcp
    option tcplog
    default_backend apiserverbackend

backend apiserverbackend
    option httpchk
    http-check connect ssl
    http-check send meth GET uri /healthz
    http-check expect status 200
    mode tcp
    balance     roundrobin
    server m1 10.1.1.101:6443 check verify none
    server m2 10.1.1.102:6443 check verify none
    server m3 10.1.1.103:6443 check verify none
EOF
mkdir -p /etc/haproxy/conf.d
echo 'EXTRAOPTS="-f /etc/haproxy/conf.d"' >>/etc/default/haproxy
cat >/etc/keepalived/check_apiserver.sh <<'EOF'
#!/bin/sh

errorExit() {
    echo "*** $*" 1>&2
    exit 1
}

curl -sfk --max-time 2 https://localhost:6443/healthz -o /dev/null || errorExit "Error GET https://localhost:6443/healthz"
EOF
chmod 755 /etc/keepalived/check_apiserver.sh
cat >/etc/keepalived/keepalived.conf <<EOF
! /etc/keepalived/keepalived.conf
! Configuration File for keepalived
global_defs {
    router_id LVS_DEVEL
}
vrrp_script check_apiserver {
  script "/etc/keepalived/check_apiserver.sh"
  interval 3
  weight -2
  fall 10
  rise 2
}

vrrp_instance VI_1 {
    state $STATE
    interface eth0
    virtual_router_id ${ROUTER_ID-51}
    priority $PRIORITY
    authentication {
        auth_type PASS
        auth_pass 42
    }
    virtual_ipaddress {
        10.1.1.100
    }
    track_script {
        check_apiserver
    }
}
EOF
systemctl enable haproxy keepalived
systemctl restart haproxy keepalived
