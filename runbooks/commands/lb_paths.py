"""Where things lie on a load balancer."""

from typing import Final

HAPROXY_CFG: Final = "/etc/haproxy/haproxy.cfg"
KEEPALIVED_CONF: Final = "/etc/keepalived/keepalived.conf"
# SELinux's policy lets keepalived run scripts that may do what they need to from the first of these only, and systemd nothing
# of what is there; so the hook, which both call, is there twice.
LIBRARY: Final = "/usr/libexec/keepalived/ha-runbooks"
HOOK: Final = "/usr/libexec/ha-runbooks/lb-hook"
NOTIFY: Final = f"{LIBRARY}/lb-hook"
CHECK: Final = f"{LIBRARY}/check-haproxy"
SYSCTL_CONF: Final = "/etc/sysctl.d/90-ha-runbooks-lb.conf"
FLAGS: Final = {
    "down": "/run/ha-runbooks/haproxy_down",
    "drain": "/run/ha-runbooks/drain",
    "leaving": "/run/ha-runbooks/leaving",
}
