"""Paths on a load balancer."""

from typing import Final

HAPROXY_CFG: Final = "/etc/haproxy/haproxy.cfg"
KEEPALIVED_CONF: Final = "/etc/keepalived/keepalived.conf"
# The hook is installed twice because of SELinux's policy: scripts of keepalived have the rights that they need only in LIBRARY,
# and systemd may not run anything from there.
LIBRARY: Final = "/usr/libexec/keepalived/ha-runbooks"
HOOK: Final = "/usr/libexec/ha-runbooks/lb-hook"
NOTIFY: Final = f"{LIBRARY}/lb-hook"
CHECK: Final = f"{LIBRARY}/check-haproxy"
SYSCTL_CONF: Final = "/etc/sysctl.d/zz-ha-runbooks-lb.conf"  # its name sorts last: the last file wins at boot
STATE: Final = "/run/ha-runbooks/vrrp_state"  # keepalived's, as the hook records it
OTHER_STATES: Final = "/run/ha-runbooks/vips"  # the same of the VIPs beside the one of the API, NAME.state
TELL_VIP: Final = (
    "vip"  # the hook's word for a change of such a VIP; in a keepalived.conf it shows that lb.setup wrote the instance
)
FLAGS: Final = {
    "down": "/run/ha-runbooks/haproxy_down",
    "yield": "/run/ha-runbooks/yield",
    "drain": "/run/ha-runbooks/drain",
    "leaving": "/run/ha-runbooks/leaving",
}
# On the LB that held the VIP before `inv upgrade.lb` moved it; a reboot deletes it, as it deletes the drain.
HELD_BEFORE: Final = "/run/ha-runbooks/held-before-upgrade"
# The servers that were taken out, as HAProxy tells them: it reads this file at every start. In its own directory, where SELinux lets it read.
TAKEN_OUT: Final = "/var/lib/haproxy/ha-runbooks-servers"
MAINTENANCE: Final = "/var/lib/ha-runbooks/lb/maintenance"  # who took them out by `inv lb.maintenance`, when, and why
# In the first line of every configuration that lb.setup has ever written, and in the `description` of HAProxy's.
OURS: Final = "written by `inv lb.setup`"
MARK: Final = "ha-runbooks"
# The backend of haproxy.cfg that has the API servers without checks. Its servers say nothing about the API servers' state.
UNCHECKED: Final = "api-unchecked"
