"""The types of single values in hosts.yaml: what is allowed, and how an error message describes it.

Addresses are ``ipaddress`` objects, never text, so that IPv4 and IPv6 are treated the same.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Annotated, Any, Literal

import msgspec

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
Priority = Annotated[int, msgspec.Meta(ge=1, le=254)]
VrrpId = Annotated[int, msgspec.Meta(ge=1, le=255)]
Role = Literal["lb", "control-plane", "worker"]
# The description of a pattern is shown when a value does not match: "X is not <description>".
# The patterns end in \Z because $ would accept a final line break, which would end up in a rendered file.
LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
NAME = rf"^{LABEL}\Z"
DNS_NAME = rf"^(?=.{{1,253}}\Z)(?!(.*\.)?[0-9]+\Z){LABEL}(\.{LABEL})*\Z"
# As Kubernetes takes a node's name (RFC 1123), also of digits only; but nothing that looks like an IPv4 address.
HOST_NAME = rf"^(?=.{{1,253}}\Z)(?!.*\.[0-9]+\Z){LABEL}(\.{LABEL})*\Z"
UPPER_CASE = "upper_case"  # in Meta.extra: why upper case is refused where everything else fits
PLAIN_NAME = "a name of lower-case letters, digits and inner hyphens (63 at most)"
Name = Annotated[str, msgspec.Meta(pattern=NAME, description=PLAIN_NAME)]
DnsName = Annotated[
    str, msgspec.Meta(pattern=DNS_NAME, description="a DNS name such as k8s-api.company.local (lower case, no dot at the end)")
]
HostName = Annotated[
    str,
    msgspec.Meta(
        pattern=HOST_NAME,
        description="a host name such as master1 or master1.example.com (lower-case letters, digits and inner hyphens, at most 63"
        " between dots)",
        extra={UPPER_CASE: "Kubernetes refuses them in the name of a node"},
    ),
]
Interface = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.@-]{0,14}\Z", description="a network interface such as eth0 (15 characters at most)"
    ),
]
ModuleName = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,54}\Z",
        description="the name of a kernel module such as ip_vs (letters, digits and _ -, no path and no .ko)",
    ),
]
LoginName = Annotated[
    str,
    msgspec.Meta(
        # As useradd and adduser make them, and as a directory service has them: svc.ansible, ops@ad.example.com, AD\\ops.
        pattern=r"^(?![0-9]+\Z)[A-Za-z0-9_][A-Za-z0-9._@\\-]{0,254}\$?\Z",
        description="a login name such as ops or svc.ansible (letters, digits and . _ - @ \\, not only digits, no hyphen or dot at the"
        " start)",
    ),
]
Version = Annotated[
    str,
    msgspec.Meta(pattern=r"^1\.[0-9]{1,3}\.[0-9]{1,3}\Z", description='a Kubernetes version of three parts, such as "1.30.0"'),
]
ImageRepository = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[a-z0-9]([a-z0-9.:-]*[a-z0-9])?(/[a-z0-9]([a-z0-9._-]*[a-z0-9])?)*\Z",
        description="a registry, perhaps with a path, such as registry.company.local:5000/k8s",
    ),
]
Recipient = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(age1[a-z0-9]{20,2000}|ssh-(rsa|ed25519) [A-Za-z0-9+/=]{20,2000}( .{0,200})?)\Z",
        description="a public key of age's (age1...), or an SSH one (ssh-ed25519 ..., ssh-rsa ...)",
    ),
]
Repository = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(?!.*://[^/@]*:[^/@]*@)[!-~]([ -~]*[!-~])?\Z",
        description="a restic repository such as /srv/restic or sftp:backup@host:/srv/restic, without a password in it",
    ),
]
HostPath = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(/[A-Za-z0-9_-][A-Za-z0-9._-]*){2,}\Z",
        description="an absolute path below a directory, such as /var/lib/ha-runbooks/backup (letters, digits and . _ -)",
    ),
]
Url = Annotated[
    str,
    msgspec.Meta(
        # No user and password in it: it ends up in rules, messages and command lines.
        pattern=r"^https?://[A-Za-z0-9\[]([A-Za-z0-9.:\]-]*[A-Za-z0-9\]])?(/[A-Za-z0-9/_.~%+-]*)?\Z",
        description="a URL such as https://prometheus.company.local or http://10.1.1.50:9090, without a password in it",
    ),
]
# As in the name of an image before the first slash: https://github.com/distribution/reference, domain; "_default" is every other registry.
RegistryHost = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(_default|\[[0-9a-f:.]+\](:[0-9]{1,5})?|[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?)\Z",
        description="a registry as images name it, such as docker.io or registry.company.local:5000 (no https:// and no path)",
    ),
]
UserName = Annotated[
    str, msgspec.Meta(pattern=r"^[!-~]([ -~]{0,254}[!-~])?\Z", description="a user name (printable ASCII, no blanks around)")
]
EnvironmentName = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*\Z", description="the name of an environment variable such as REGISTRY_PASSWORD"
    ),
]
RuntimeType = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^([A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)+|(/[A-Za-z0-9_-][A-Za-z0-9._-]*){2,})\Z",
        description="a runtime's type such as io.containerd.kata.v2",
    ),
]
NoProxy = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(\*|\.?[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?|[0-9A-Fa-f.:]+(/[0-9]{1,3})?)\Z",
        description="a host name, a domain such as .example.com, an address or a network, or *",
    ),
]
# https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set
LABEL_KEY = r"((?=.{1,253}/)[a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?(?=.{1,63}(?:[=:]|\Z))[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?"
LABEL_VALUE = r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?"
TaintText = Annotated[
    str,
    msgspec.Meta(
        pattern=rf"^{LABEL_KEY}(={LABEL_VALUE})?:(NoSchedule|PreferNoSchedule|NoExecute)\Z",
        description="a taint such as dedicated=gpu:NoSchedule (KEY=VALUE:EFFECT or KEY:EFFECT; the effects are NoSchedule,"
        " PreferNoSchedule and NoExecute)",
    ),
]
CronTimes = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(@[a-z]+|[0-9A-Za-z*,/-]+( +[0-9A-Za-z*,/-]+){4})\Z",
        description='a cron expression of five fields in quotes, such as "17 2 * * *", or @daily',
    ),
]
Flags = dict[str, str]
Settings = dict[str, Any]
NamesByAddress = dict[str, tuple[DnsName, ...]]
UrlPath = Annotated[
    str, msgspec.Meta(pattern=r"^/[A-Za-z0-9/_.~-]*\Z", description="a URL path such as /healthz (letters, digits and / _ . ~ -)")
]


def literal(address: Address) -> str:
    """Return an address as it is written in a URL or before ``:port``: IPv6 in brackets.

    >>> literal(IPv4Address("10.0.0.1")), literal(IPv6Address("fd00::1"))
    ('10.0.0.1', '[fd00::1]')
    """
    return f"[{address}]" if address.version == 6 else str(address)


def sysctl_path(name: str) -> str:
    """Return a sysctl as a path below /proc/sys: names may use dots or slashes, whichever comes first parts them; the other one is in a name.

    >>> sysctl_path("net.ipv4.ip_forward"), sysctl_path("net/ipv4/conf/eth0.100/rp_filter")
    ('net/ipv4/ip_forward', 'net/ipv4/conf/eth0.100/rp_filter')
    """
    separators = [each for each in name if each in "./"]
    return name if not separators or separators[0] == "/" else name.translate(str.maketrans("./", "/."))
