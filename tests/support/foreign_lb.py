"""Load balancers that somebody else has set up, by the scripts of tests/support/foreign, with a shop beside: on a lab's hosts, or their files alone."""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path

from lab.control import Lab
from tests.support.foreign.clusters import numbers, sh, text_of

CFG = "/etc/haproxy/haproxy.cfg"
CONF = "/etc/keepalived/keepalived.conf"
LBS = ("lb1", "lb2")
SHOP_VIP = "10.1.1.77"
INSIDE = {"CFG": CFG, "CONF": CONF, "VIP": SHOP_VIP, "PORT": "8443"}
BESIDE = INSIDE | {"CFG": "/etc/haproxy/conf.d/shop.cfg", "CONF": "/etc/keepalived/conf.d/shop.conf"}
# What the scripts do besides writing files is left out where there is no host.
_NOTHING = "apt-get() { :; }; sysctl() { :; }; systemctl() { :; }\n"
_ETC = re.compile(r"(>|(?m:^(?:mkdir|chmod) \S+ ))(/etc/)")


def write(lab: Lab, host: str, path: str, text: str, mode: str = "644") -> None:
    """Write a file on a host, on its console."""
    shell = f"mkdir -p {path.rpartition('/')[0]}; cat >{path} <<'END'\n{text}END\nchmod {mode} {path}"
    lab.console(host, ["bash", "-c", shell], check=True)


def as_the_document(lab: Lab) -> None:
    """Set both LBs up as the operators' document does, with a shop in the same files: a front end, a userlist, a VRRP instance."""
    for host in LBS:
        sh(lab, host, "document-lb", "shop", INGRESS="no", **INSIDE, **numbers(host))


def as_the_guide(lab: Lab) -> None:
    """Set both LBs up as kubeadm's guide does, with the shop in files that HAProxy and keepalived read besides."""
    for host in LBS:
        sh(lab, host, "guide-lb", "shop", ROUTER_ID="60", **BESIDE, **numbers(host))


def add_the_shop(lab: Lab) -> None:
    """Let the shop be served beside the API on LBs that are set up in one file each, as the document's are: a front end and a VRRP instance."""
    for host in LBS:
        sh(lab, host, "shop", **INSIDE, **numbers(host))


def files_of(host: str, *scripts: str, **variables: str) -> dict[str, str]:
    """Return the files below /etc that these scripts write on a load balancer, by path: they run here, in a directory in the place of /etc."""
    with tempfile.TemporaryDirectory() as top:
        given = {name: f"{top}{text}" if text.startswith("/") else text for name, text in variables.items()}
        text = _ETC.sub(rf"\g<1>{top}\2", text_of(*scripts, **given, **numbers(host)))
        assert not re.search(r">\s*/etc/|(?m:^(?:mkdir|chmod)[^\n]* /etc/)", text), "this would write to the machine's own /etc"
        for each in ("haproxy/conf.d", "keepalived", "default", "sysctl.d"):
            (Path(top) / "etc" / each).mkdir(parents=True)
        subprocess.run(["bash", "-c", _NOTHING + text], check=True, capture_output=True)
        found = sorted(each for each in Path(top).rglob("*") if each.is_file())
        return {str(each).removeprefix(top): each.read_text() for each in found}
