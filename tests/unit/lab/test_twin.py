"""From a site to its twin."""

from pathlib import Path

import msgspec
import pytest

from lab import twin
from lab.names import Instance
from runbooks.errors import InventoryError
from runbooks.inventory.load import load_site
from runbooks.inventory.model import Site
from runbooks.inventory.settings import Gateway, HostSsh, Keep, Restic
from runbooks.inventory.words import Address

pytestmark = pytest.mark.unit
SITE = Path(__file__).parents[3] / "hosts.yaml"
replace = msgspec.structs.replace


@pytest.fixture
def site() -> Site:
    return load_site(SITE).site


def reread(site: Site, directory: Path) -> Site:
    path = directory / "site.yaml"
    path.write_text(twin.twin_text(site, Instance("x"), SITE))
    return load_site(path).site


def test_the_twin_differs_in_logins_only(site: Site, tmp_path: Path) -> None:
    copy = reread(site, tmp_path)
    assert copy.lab is not None
    assert copy.lab.namespace == "ha-lab-x"
    assert (copy.ssh.user, copy.ssh.key, copy.ssh.known_hosts) == (
        "ops",
        Path("/run/ha-lab/x/id_ed25519"),
        Path("/run/ha-lab/x/known_hosts"),
    )
    assert copy.backup is not None
    assert copy.backup.directory == Path("/run/ha-lab/x/backup")
    assert replace(copy, ssh=site.ssh, lab=site.lab, backup=site.backup) == site


def test_a_rehearsal_reaches_neither_the_repository_nor_the_monitoring(site: Site, tmp_path: Path) -> None:
    assert site.backup
    restic = Restic(repository="/srv/restic", password_file=Path("/etc/password"))
    backup = replace(site.backup, keep=Keep(last=3), max_age_h=5, restic=restic, metrics=Path("/var/lib/x.prom"))
    copy = reread(replace(site, backup=backup), tmp_path)
    assert copy.backup == replace(backup, directory=Path("/run/ha-lab/x/backup"), restic=None, metrics=None)


def test_gateways_and_special_logins_stay_outside(site: Site, tmp_path: Path) -> None:
    bastion = Gateway(address="bastion.example.org")
    first = replace(site.hosts[0], ssh=HostSsh(user="admin", port=2222, gateway=bastion))
    odd = replace(site, hosts=(first, *site.hosts[1:]), ssh=replace(site.ssh, gateway=bastion))
    copy = reread(odd, tmp_path)
    assert copy.ssh.gateway is None
    assert copy.hosts[0].ssh == HostSsh(port=2222)
    assert twin.identities(odd, "key")["lb1"].port == 2222


def test_the_gateway_is_nobody_else(site: Site) -> None:
    assert str(twin.gateway(site)) == "10.1.1.1"
    address: Address = type(site.endpoint.vip)("10.1.1.1")
    second: Address = type(site.endpoint.vip)("10.1.1.2")
    crowded = replace(
        site, endpoint=replace(site.endpoint, vip=address), hosts=(replace(site.hosts[0], address=second), *site.hosts[1:])
    )
    assert str(twin.gateway(crowded)) == "10.1.1.3"


def test_known_hosts_by_name_and_address(site: Site) -> None:
    assert twin.known_hosts_text(site, {"lb1": "ssh-ed25519 AAAA"}) == "lb1,10.1.1.11 ssh-ed25519 AAAA\n"
    elsewhere = replace(site, ssh=replace(site.ssh, port=2222))
    assert twin.known_hosts_text(elsewhere, {"lb1": "ssh-ed25519 AAAA"}) == "[lb1]:2222,[10.1.1.11]:2222 ssh-ed25519 AAAA\n"
    assert twin.known_hosts_text(site, {}) == ""


def test_every_host_is_named_and_the_endpoint_too(site: Site) -> None:
    text = twin.hosts_text(site)
    assert "10.1.1.100 k8s-api.company.local\n" in text
    assert all(f"{host.address} {host.name}\n" in text for host in site.hosts)


def test_only_a_new_address_needs_a_reboot(site: Site) -> None:
    before = twin.identities(site, "key")["lb1"]
    assert not before.reboots(twin.identities(site, "another key")["lb1"])
    named = replace(site, endpoint=replace(site.endpoint, name="other.example.org"))
    assert not before.reboots(twin.identities(named, "key")["lb1"])
    wider = replace(site, networks=replace(site.networks, management=site.networks.management.supernet()))
    assert before.reboots(twin.identities(wider, "key")["lb1"])


def test_hosts_are_chosen_in_the_sites_order(site: Site) -> None:
    assert twin.chosen(site, ["master1", "lb2", "lb2"]) == ["lb2", "master1"]
    assert len(twin.chosen(site, [])) == 8
    with pytest.raises(InventoryError, match="not in the site: lb9, x"):
        twin.chosen(site, ["lb1", "lb9", "x"])
