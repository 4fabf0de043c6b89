# Variables: CFG, CONF (the files of HAProxy and keepalived that get it, at their ends), VIP, PORT, PRIORITY2. On a load balancer: something that has
# nothing to do with Kubernetes. A page of HAProxy alone, on a port of every address, and a VRRP instance with an address of its own.
# Another file than keepalived.conf is included from there.
# shellcheck shell=bash disable=SC2154
set -eux
mkdir -p "${CFG%/*}" "${CONF%/*}"
cat >>"$CFG" <<EOF

userlist clerks
    user bob password \$5\$salt\$hash

# The shop: nothing of Kubernetes.
frontend shop
    bind *:$PORT
    mode http
    http-request return status 200 content-type text/plain string "the shop is open\\n"
EOF
cat >>"$CONF" <<EOF

# The shop's address, which lb2 has while all is well.
vrrp_instance shop {
    state BACKUP
    interface eth0
    virtual_router_id 77
    priority $PRIORITY2
    advert_int 1
    virtual_ipaddress {
        $VIP/24
    }
}
EOF
case $CONF in
*/keepalived.conf) ;;
*) echo 'include conf.d/*.conf' >>/etc/keepalived/keepalived.conf ;;
esac
systemctl restart haproxy keepalived
