"""Load balancers that somebody else has set up, by plain commands: as in the operators' document, and as in kubeadm's guide to high availability.

https://github.com/kubernetes/kubeadm/blob/main/docs/ha-considerations.md
"""

from __future__ import annotations

from lab.control import Lab

CFG = "/etc/haproxy/haproxy.cfg"
CONF = "/etc/keepalived/keepalived.conf"
LBS = ("lb1", "lb2")
SHOP_VIP = "10.1.1.77"
# Answers as the shop of somebody else, with HAProxy alone.
SHOP = """
userlist clerks
    user bob password $5$salt$hash
# The shop: nothing of Kubernetes.
frontend shop
    bind *:8443
    mode http
    http-request return status 200 content-type text/plain string open
"""
DOCUMENT = """\
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
    option                  redispatch
    retries                 3
    timeout queue           1m
    timeout connect         10s
    timeout client          1m
    timeout server          1m
    timeout check           10s
    maxconn                 3000

frontend stats
    bind *:9000
    mode http
    stats enable
    stats uri /stats
    stats admin if TRUE

frontend k8s-api
    bind 10.1.1.100:6443
    option tcplog
    default_backend k8s-api-backend

backend k8s-api-backend
    option tcp-check
    balance roundrobin
    default-server inter 10s downinter 5s rise 2 fall 2 slowstart 60s maxconn 250 maxqueue 256 weight 100
    server master1 10.1.1.101:6443 check
    server master2 10.1.1.102:6443 check
    server master3 10.1.1.103:6443 check
"""
DOCUMENT_VRRP = """\
vrrp_script chk_haproxy {
    script "/bin/kill -0 `cat /var/run/haproxy.pid`"
    interval 2
    weight 2
    fall 3
    rise 2
}

vrrp_instance VI_1 {
    state %(state)s
    interface eth0
    virtual_router_id 51
    priority %(priority)d
    advert_int 1
    authentication {
        auth_type PASS
        auth_pass mypassword
    }
    virtual_ipaddress {
        10.1.1.100/24 label eth0:vip
    }
    track_script {
        chk_haproxy
    }
}
"""
SHOP_VRRP = """
# The shop's address, which lb2 has while all is well.
vrrp_instance shop {
    state BACKUP
    interface eth0
    virtual_router_id 77
    priority %(other)d
    advert_int 1
    virtual_ipaddress {
        10.1.1.77
    }
}
"""
GUIDE = """\
global
    log stdout format raw local0
    stats socket /var/lib/haproxy/stats level admin
    daemon

defaults
    mode http
    option httplog
    timeout connect 5s
    timeout client 35s
    timeout server 35s

frontend apiserver
    bind *:6443
    mode tcp
    option tcplog
    default_backend apiserverbackend

backend apiserverbackend
    mode tcp
    option httpchk
    http-check connect ssl
    http-check send meth GET uri /healthz
    http-check expect status 200
    balance roundrobin
    server master1 10.1.1.101:6443 check verify none
    server master2 10.1.1.102:6443 check verify none
    server master3 10.1.1.103:6443 check verify none
"""
GUIDE_VRRP = """\
! Of us.
global_defs {
    router_id LVS_OURS
    script_user root
    enable_script_security
}
vrrp_script check_apiserver {
  script "/etc/keepalived/check_apiserver.sh"
  interval 3
  weight -2
  fall 10
  rise 2
}
vrrp_instance VI_1 {
    state %(state)s
    interface eth0
    virtual_router_id 60
    priority %(priority)d
    authentication {
        auth_type PASS
        auth_pass 42secret
    }
    virtual_ipaddress {
        10.1.1.100
    }
    track_script {
        check_apiserver
    }
}
include conf.d/*.conf
"""
INSTALL = "apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -y -qq haproxy keepalived socat >/dev/null"
NUMBERS = {
    "lb1": {"state": "MASTER", "priority": 110, "other": 100},
    "lb2": {"state": "BACKUP", "priority": 100, "other": 110},
}


def write(lab: Lab, host: str, path: str, text: str, mode: str = "644") -> None:
    """Write a file on a host, on its console."""
    shell = f"mkdir -p {path.rpartition('/')[0]}; cat >{path} <<'END'\n{text}END\nchmod {mode} {path}"
    lab.console(host, ["bash", "-c", shell], check=True)


def as_the_document(lab: Lab) -> None:
    """Set both LBs up as the operators' document does, with a shop beside: a front end, a userlist, a VRRP instance."""
    for host in LBS:
        lab.console(host, ["bash", "-c", INSTALL], check=True)
        write(lab, host, CFG, DOCUMENT + SHOP)
        write(lab, host, CONF, (DOCUMENT_VRRP + SHOP_VRRP) % NUMBERS[host])
    _start(lab)


def as_the_guide(lab: Lab) -> None:
    """Set both LBs up as kubeadm's guide does, with the shop in files that HAProxy and keepalived read besides."""
    for host in LBS:
        lab.console(host, ["bash", "-c", INSTALL], check=True)
        write(lab, host, CFG, GUIDE)
        write(lab, host, CONF, GUIDE_VRRP % NUMBERS[host])
        write(lab, host, "/etc/haproxy/conf.d/shop.cfg", SHOP.replace("    mode http\n", ""))  # by the defaults of haproxy.cfg
        write(lab, host, "/etc/keepalived/conf.d/shop.conf", SHOP_VRRP % NUMBERS[host])
        write(lab, host, "/etc/keepalived/check_apiserver.sh", "#!/bin/sh\ncurl -sfk https://localhost:6443/healthz\n", "755")
        write(lab, host, "/etc/default/haproxy", 'EXTRAOPTS="-S /run/haproxy-master.sock -f /etc/haproxy/conf.d"\n')
    _start(lab)


def add_the_shop(lab: Lab) -> None:
    """Let the shop be served beside the API on LBs that are set up in one file each, as the document's are: a front end and a VRRP instance."""
    for host in LBS:
        for path, text in ((CFG, SHOP), (CONF, SHOP_VRRP % NUMBERS[host])):
            lab.console(host, ["tee", "-a", path], stdin=text, check=True)
        lab.console(host, ["systemctl", "reload", "haproxy", "keepalived"], check=True)


def _start(lab: Lab) -> None:
    for host in LBS:
        bind = "sysctl -qw net.ipv4.ip_nonlocal_bind=1"  # without it the document's HAProxy does not start on the standby
        lab.console(
            host,
            ["bash", "-c", f"{bind}; systemctl enable -q haproxy keepalived; systemctl restart haproxy keepalived"],
            check=True,
        )
