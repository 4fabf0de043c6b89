"""The lab keeps its promises: production-like logins, no uplink, real power cuts, repair, and nothing left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import disk, login, status
from lab.control import Lab
from lab.twin import read
from runbooks.errors import CommandError, PrecheckError
from tests.support.lab import HOSTS, SITE, Traces, traces

pytestmark = pytest.mark.lab
NOWHERE = "192.0.2.1"  # an address for documentation; asked for inside the namespace only

# Runs in the namespace: connects to argv[1]:22, then says what comes within a second after it is told to listen.
LISTENER = """
import socket, sys
peer = socket.create_connection((sys.argv[1], 22), timeout=5)
peer.recv(100)
print("connected", flush=True)
sys.stdin.readline()
peer.settimeout(1)
try:
    print("data" if peer.recv(100) else "closed", flush=True)
except ConnectionResetError:
    print("reset", flush=True)
except TimeoutError:
    print("silence", flush=True)
"""


@pytest.fixture
def spare(lab: Lab) -> Iterator[Lab]:
    """A second lab that a test may break; it is taken down afterwards."""
    other = Lab(f"{lab.instance.name}-spare")
    other.down()
    yield other
    other.down()


def up_in_background(name: str, *hosts: str) -> subprocess.Popen[bytes]:
    code = (
        "import sys; from pathlib import Path; from lab.control import Lab; Lab(sys.argv[1]).up(Path(sys.argv[2]), sys.argv[3:])"
    )
    return subprocess.Popen([sys.executable, "-c", code, name, str(SITE), *hosts], cwd=SITE.parent)


def good(lab: Lab) -> bool:
    return status.look(lab).good


class TestLogin:
    def test_ops_logs_in_with_pinned_host_keys(self, lab: Lab) -> None:
        for host in HOSTS:
            assert lab.exec(host, ["hostname"], root=False, check=True).stdout == f"{host}\n"
        assert lab.exec("lb1", ["id", "-un"], root=False).stdout == "ops\n"

    def test_a_wrong_host_key_is_refused(self, lab: Lab, tmp_path: Path) -> None:
        other = disk.host_key(lab.instance, "lb2")
        (tmp_path / "known").write_text(f"10.1.1.11 {other}\n")
        argv = [word.replace(str(lab.instance.known_hosts), str(tmp_path / "known")) for word in login.ssh(lab.instance, "lb1")]
        done = subprocess.run([*argv, "true"], capture_output=True, text=True, check=False)
        assert done.returncode == 255
        assert "Host key verification failed" in done.stderr

    def test_host_keys_and_machine_ids_are_unique(self, lab: Lab) -> None:
        assert len({disk.host_key(lab.instance, host) for host in HOSTS}) == len(HOSTS)
        assert len({lab.exec(host, ["cat", "/etc/machine-id"]).stdout for host in HOSTS}) == len(HOSTS)

    def test_known_hosts_has_names_and_addresses(self, lab: Lab) -> None:
        assert f"lb1,10.1.1.11 {disk.host_key(lab.instance, 'lb1')}" in lab.instance.known_hosts.read_text().splitlines()

    def test_sudo_asks_for_no_password(self, lab: Lab) -> None:
        assert lab.exec("master1", ["id", "-u"], check=True).stdout == "0\n"

    def test_root_and_passwords_do_not_get_in(self, lab: Lab) -> None:
        argv = login.ssh(lab.instance, "lb1", user="root")
        done = subprocess.run([*argv, "true"], capture_output=True, text=True, check=False)
        assert (done.returncode, "Permission denied (publickey)" in done.stderr) == (255, True)

    def test_keys_are_for_root_only(self, lab: Lab) -> None:
        assert lab.instance.state.stat().st_mode & 0o777 == 0o700
        assert lab.instance.key.stat().st_mode & 0o777 == 0o600

    def test_hosts_know_each_other_by_name(self, lab: Lab) -> None:
        found = lab.exec("worker1", ["getent", "hosts", "lb2", "k8s-api.company.local"]).stdout.split()
        assert found[0::2] == ["10.1.1.12", "10.1.1.100"]

    def test_systemd_is_content(self, lab: Lab) -> None:
        for host in HOSTS:
            assert lab.exec(host, ["systemctl", "is-system-running", "--wait"]).stdout == "running\n"


class TestIsolation:
    def test_no_way_out_of_the_namespace(self, lab: Lab) -> None:
        assert status.look(lab).leaks == ()
        done = subprocess.run(lab.in_namespace(["ip", "route", "get", NOWHERE]), capture_output=True, text=True, check=False)
        assert "unreachable" in done.stderr

    def test_hosts_reach_nothing_beyond_it(self, lab: Lab) -> None:
        assert lab.exec("lb1", ["ping", "-c1", "-W1", "10.1.1.12"]).returncode == 0
        assert lab.exec("lb1", ["ping", "-c1", "-W1", NOWHERE]).returncode == 1

    def test_the_machines_own_network_is_as_before(self, lab: Lab, machine_before: Traces) -> None:
        now = traces(lab.instance.name)
        assert (now.interfaces, now.routes) == (machine_before.interfaces, machine_before.routes)

    def test_the_twin_is_the_site_with_other_logins(self, lab: Lab) -> None:
        twin, source = lab.site(), read(SITE)
        assert (twin.endpoint, twin.kubernetes, twin.load_balancer) == (source.endpoint, source.kubernetes, source.load_balancer)
        assert twin.hosts == source.hosts
        assert (twin.ssh.user, twin.ssh.key, twin.ssh.known_hosts) == ("ops", lab.instance.key, lab.instance.known_hosts)
        assert twin.lab is not None
        assert twin.lab.namespace == f"ha-lab-{lab.instance.name}"
        assert Path("/run/netns", twin.lab.namespace).exists()


class TestPackages:
    def test_packages_install_without_an_uplink(self, lab: Lab) -> None:
        assert lab.exec("worker1", ["sh", "-c", "command -v socat"]).returncode != 0
        lab.exec("worker1", ["apt-get", "-q", "update"], check=True)
        lab.exec("worker1", ["apt-get", "-qy", "install", "socat"], check=True)
        assert "socat version" in lab.exec("worker1", ["socat", "-V"], check=True).stdout

    def test_haproxy_and_keepalived_are_offered_but_not_there(self, lab: Lab) -> None:
        lab.exec("master2", ["apt-get", "-q", "update"], check=True)
        for package in ("haproxy", "keepalived"):
            policy = lab.exec("master2", ["apt-cache", "policy", package]).stdout
            assert "Installed: (none)" in policy
            assert "Candidate: (none)" not in policy


class TestPowerAndCables:
    def test_a_disk_survives_a_power_cut(self, lab: Lab) -> None:
        lab.exec("master3", ["sh", "-c", "cat > /etc/proof"], stdin="kept\n", check=True)
        before = lab.leader("master3")
        lab.off("master3")
        with pytest.raises(PrecheckError, match="master3 is off"):
            lab.leader("master3")
        assert not good(lab)
        lab.on("master3")
        assert lab.leader("master3") != before
        assert lab.exec("master3", ["cat", "/etc/proof"]).stdout == "kept\n"
        assert good(lab)

    @pytest.mark.parametrize(("cut", "heard"), [(True, "silence"), (False, "closed")])
    def test_peers_of_a_powered_off_host_hear_nothing(self, lab: Lab, cut: bool, heard: str) -> None:
        argv = lab.in_namespace([sys.executable, "-c", LISTENER, "10.1.1.102"])
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as listener:
            assert listener.stdout is not None
            assert listener.stdout.readline() == "connected\n"
            if cut:
                lab.off("master2")
            else:  # what an orderly stop looks like to the same listener
                lab.console("master2", ["systemctl", "kill", "--signal=KILL", "ssh.service"], check=True)
            assert listener.communicate("\n", timeout=10)[0] == f"{heard}\n"
        lab.on("master2")
        assert lab.exec("master2", ["true"]).returncode == 0

    def test_cut_and_heal(self, lab: Lab) -> None:
        lab.cut("master1", "worker1")
        assert lab.exec("master1", ["true"]).returncode == 255
        assert lab.console("master1", ["hostname"], check=True).stdout == "master1\n"
        assert {host.name for host in status.look(lab).hosts if host.connected is False} == {"master1", "worker1"}
        lab.heal("master1", "worker1")
        assert lab.exec("master1", ["true"], check=True).returncode == 0
        assert good(lab)

    def test_programs_of_this_machine_run_with_a_hosts_network(self, lab: Lab) -> None:
        done = subprocess.run(lab.netns_of("lb2", ["ip", "-br", "address"]), capture_output=True, text=True, check=True)
        assert "10.1.1.12/24" in done.stdout

    def test_reset_gives_an_empty_machine_with_new_keys(self, lab: Lab) -> None:
        lab.exec("worker1", ["touch", "/etc/proof"], check=True)
        old = disk.host_key(lab.instance, "worker1")
        lab.reset("worker1", trust=False)
        assert disk.host_key(lab.instance, "worker1") != old
        assert lab.exec("worker1", ["true"]).returncode == 255  # still the old key, as in production
        lab.up(SITE, ["worker1"])
        assert lab.exec("worker1", ["ls", "/etc/proof"]).returncode == 2

    def test_strangers_are_refused(self, lab: Lab) -> None:
        for act in (lab.off, lab.on, lab.cut, lab.heal, lab.reset):
            with pytest.raises(PrecheckError, match="nobody"):
                act("nobody")


class TestRepair:
    def test_a_half_up_lab_is_repaired(self, lab: Lab) -> None:
        lab.exec("lb2", ["touch", "/etc/proof"], check=True)
        untouched = lab.leader("master1")
        os.kill(lab.leader("lb2"), signal.SIGKILL)
        subprocess.run(["umount", "--lazy", str(disk.root(lab.instance, "worker1"))], check=True)
        lab.up(SITE, HOSTS)
        assert good(lab)
        assert lab.exec("lb2", ["ls", "/etc/proof"]).returncode == 0
        assert lab.leader("master1") == untouched

    def test_a_second_up_changes_nothing(self, lab: Lab) -> None:
        before = {host: lab.leader(host) for host in HOSTS}
        lab.up(SITE, HOSTS)
        assert {host: lab.leader(host) for host in HOSTS} == before

    def test_an_edited_site_reaches_the_twin_and_the_hosts(self, lab: Lab, tmp_path: Path) -> None:
        edited = tmp_path / "hosts.yaml"
        edited.write_text(SITE.read_text().replace("k8s-api.company.local", "api.example.org"))
        before = lab.leader("lb1")
        lab.up(edited, ["lb1"])
        assert lab.site().endpoint.name == "api.example.org"
        assert lab.exec("lb1", ["getent", "hosts", "api.example.org"]).returncode == 0
        assert lab.leader("lb1") == before
        lab.up(SITE, HOSTS)

    def test_a_host_whose_name_has_dots_and_a_changed_address(self, spare: Lab, tmp_path: Path) -> None:
        name, edited = "kube-lb1.dc1.example.com", tmp_path / "hosts.yaml"
        edited.write_text(SITE.read_text().replace("{name: lb1,", f"{{name: {name},"))
        spare.up(edited, [name])
        assert spare.exec(name, ["hostname"], root=False, check=True).stdout == f"{name}\n"
        edited.write_text(edited.read_text().replace("10.1.1.11,", "10.1.1.13,"))
        spare.up(edited, [name])
        assert "10.1.1.13/24" in spare.exec(name, ["ip", "-br", "address"], check=True).stdout

    def test_two_ups_at_once_take_turns(self, spare: Lab) -> None:
        both = [up_in_background(spare.instance.name, host) for host in ("lb1", "lb2")]
        assert [one.wait(timeout=120) for one in both] == [0, 0]
        assert good(spare)


class TestNothingStays:
    def test_down_takes_everything_away(self, spare: Lab) -> None:
        before = traces(spare.instance.name)
        assert not before.files
        spare.up(SITE, ["lb1"])
        assert spare.exec("lb1", ["true"]).returncode == 0
        during = traces(spare.instance.name)
        assert all((during.mounts, during.cgroups, during.processes, during.files))
        spare.down()
        assert traces(spare.instance.name) == before
        spare.down()  # nothing there: nothing to do

    @pytest.mark.parametrize("after_s", [0.15, 0.3, 0.5, 0.8])
    def test_down_after_a_killed_up(self, spare: Lab, after_s: float) -> None:
        before = traces(spare.instance.name)
        victim = up_in_background(spare.instance.name, "lb1", "lb2")
        time.sleep(after_s)
        victim.kill()
        victim.wait()
        spare.down()
        assert traces(spare.instance.name) == before

    def test_up_after_a_killed_up(self, spare: Lab) -> None:
        victim = up_in_background(spare.instance.name, "lb1", "lb2")
        time.sleep(0.45)
        victim.kill()
        victim.wait()
        spare.up(SITE, ["lb1", "lb2"])
        assert good(spare)

    def test_labs_with_the_same_addresses_do_not_meet(self, lab: Lab, spare: Lab) -> None:
        spare.up(SITE, ["lb1"])
        assert spare.exec("lb1", ["touch", "/etc/spare"], check=True).returncode == 0
        assert lab.exec("lb1", ["ls", "/etc/spare"]).returncode == 2
        with pytest.raises(CommandError):
            spare.exec("lb1", ["ping", "-c1", "-W1", "10.1.1.101"], check=True)
