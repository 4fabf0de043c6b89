# Variables: STATE (MASTER or BACKUP), PRIORITY, INGRESS (no: without the document's optional front ends). A load balancer as the document has it, shared/seed/ha-cluster.ko.md: with its TCP checks, its
# writable statistics on every address, and a keepalived script that never fails over.
# Corrected where it cannot work: the VIP must be bound on the standby too (net.ipv4.ip_nonlocal_bind); apt-get for yum.
# shellcheck shell=bash disable=SC2154
set -eux
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -q -y haproxy keepalived
echo 'net.ipv4.ip_nonlocal_bind = 1' >/etc/sysctl.d/99-haproxy.conf
sysctl -q --load /etc/sysctl.d/99-haproxy.conf
cat >/etc/haproxy/haproxy.cfg <<'EOF'
global
    log         127.0.0.1:514 local0
    chroot      /var/lib/haproxy
    stats socket /run/haproxy/admin.sock mode 660 level admin
    stats timeout 30s
    user        haproxy
    group       haproxy
    daemon

defaults
    mode                    tcp
    log                     global
    option                  tcplog
    option                  dontlognull
    option                  redispatch
    retries                 3
    timeout queue           1m
    timeout connect         10s
    timeout client          1m
    timeout server          1m
    timeout check           10s
    maxconn                 3000

# Statistics
frontend stats
    bind *:9000
    mode http
    stats enable
    stats uri /stats
    stats refresh 10s
    stats admin if TRUE

# Kubernetes API Server Frontend
frontend k8s-api
    bind 10.1.1.100:6443
    mode tcp
    option tcplog
    default_backend k8s-api-backend

# Kubernetes API Server Backend
backend k8s-api-backend
    mode tcp
    option tcplog
    option tcp-check
    balance roundrobin
    default-server inter 10s downinter 5s rise 2 fall 2 slowstart 60s maxconn 250 maxqueue 256 weight 100

    server master1 10.1.1.101:6443 check
    server master2 10.1.1.102:6443 check
    server master3 10.1.1.103:6443 check
EOF
[ "${INGRESS-yes}" = no ] || cat >>/etc/haproxy/haproxy.cfg <<'EOF'

# HTTP Ingress Frontend (optional)
frontend ingress-http
    bind 10.1.1.100:80
    mode http
    option httplog
    default_backend ingress-http-backend

# HTTPS Ingress Frontend (optional)
frontend ingress-https
    bind 10.1.1.100:443
    mode tcp
    option tcplog
    default_backend ingress-https-backend

# HTTP Ingress Backend
backend ingress-http-backend
    mode http
    option httplog
    balance roundrobin
    option httpchk GET /healthz

    server worker1 10.1.1.201:30080 check
    server worker2 10.1.1.202:30080 check
    server worker3 10.1.1.203:30080 check

# HTTPS Ingress Backend
backend ingress-https-backend
    mode tcp
    option tcplog
    balance roundrobin

    server worker1 10.1.1.201:30443 check
    server worker2 10.1.1.202:30443 check
    server worker3 10.1.1.203:30443 check
EOF
cat >/etc/keepalived/keepalived.conf <<EOF
vrrp_script chk_haproxy {
    script "/bin/kill -0 \`cat /var/run/haproxy.pid\`"
    interval 2
    weight 2
    fall 3
    rise 2
}

vrrp_instance VI_1 {
    state $STATE
    interface eth0
    virtual_router_id 51
    priority $PRIORITY
    advert_int 1
    authentication {
        auth_type PASS
        auth_pass mypassword
    }
    virtual_ipaddress {
        10.1.1.100
    }
    track_script {
        chk_haproxy
    }
}
EOF
systemctl enable haproxy keepalived
systemctl restart haproxy keepalived
