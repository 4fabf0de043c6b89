"""Names of a lab instance, and the light start of its commands."""

import subprocess
import sys
from pathlib import Path

import pytest

from lab import machine
from lab.names import Instance, cache, current, hostname
from runbooks.errors import InventoryError, PrecheckError

pytestmark = pytest.mark.unit
ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("name", ["", "Lab", "a/b", "../x", "-a", "a-", "a b", "x" * 21, "lab\n"])
def test_a_bad_instance_name_is_refused(name: str) -> None:
    with pytest.raises(InventoryError):
        Instance(name)


@pytest.mark.parametrize("host", ["lb1", "master1", "worker12", "a" * 63, "m1.dc1", "kube-m1.dc1.example.com"])
def test_ports_fit_an_interface_name(host: str) -> None:
    port = Instance("a-long-instance-name").port(host)
    assert len(port) <= 15
    assert "." not in port
    assert len(hostname(host)) <= 64


def test_a_host_calls_itself_by_its_name_as_far_as_linux_has_room() -> None:
    assert hostname("kube-m1.dc1.example.com") == "kube-m1.dc1.example.com"
    assert hostname(f"{'a' * 40}.{'b' * 40}") == "a" * 40


def test_instances_share_nothing() -> None:
    one, two = Instance("one"), Instance("two")
    for attribute in ("namespace", "state", "lock", "netns", "netns_link", "switch"):
        assert getattr(one, attribute) != getattr(two, attribute)
    assert one.machine("lb1") != two.machine("lb1")


def test_the_environment_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNBOOKS_LAB", raising=False)
    monkeypatch.setenv("HA_LAB_CACHE", "/somewhere")
    assert (current().name, current().switch, cache()) == ("default", "lab", Path("/somewhere"))
    monkeypatch.setenv("RUNBOOKS_LAB", "mine")
    assert (current().name, current().switch) == ("mine", "lab:mine")


def test_listing_the_commands_loads_nothing_heavy() -> None:
    code = "import sys, lab.tasks; print([m for m in ('yaml', 'msgspec', 'lab.control', 'fabric', 'json') if m in sys.modules])"
    plain = "import sys, invoke; print([m for m in ('yaml', 'msgspec', 'lab.control', 'fabric', 'json') if m in sys.modules])"
    ours, invoke = (
        subprocess.run([sys.executable, "-c", text], cwd=ROOT, capture_output=True, text=True, check=True)
        for text in (code, plain)
    )
    assert ours.stdout == invoke.stdout


def test_packages_txt_is_what_the_programs_need() -> None:
    assert machine.packages() == sorted(set(machine.PROGRAMS.values()))


def test_everything_missing_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "system_problems", lambda: ([], []))
    monkeypatch.setattr(
        "shutil.which", lambda program: None if program in {"mmdebstrap", "systemd-nspawn"} else f"/bin/{program}"
    )
    monkeypatch.setattr(machine, "kernel_has_overlay", lambda: False)
    with pytest.raises(PrecheckError) as caught:
        machine.require()
    assert "mmdebstrap, systemd-nspawn" in str(caught.value)
    assert "overlay" in str(caught.value)
    assert "apt-get install mmdebstrap systemd-container" in caught.value.hint


def test_other_systems_and_users_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(PrecheckError, match="not root"):
        machine.require()
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(PrecheckError, match="needs Linux"):
        machine.require()


def limited(monkeypatch: pytest.MonkeyPatch, path: Path, *, limit: int, held: int) -> list[str]:
    """A machine whose limit is ``limit``, kept in the file ``path``; returns what is said."""
    path.write_text(f"{limit}\n")
    monkeypatch.setattr(machine, "INOTIFY", path)
    monkeypatch.setattr(machine, "inotify_instances", lambda: held)
    return []


def test_room_is_made_before_a_host_dies_for_want_of_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    said = limited(monkeypatch, tmp_path / "limit", limit=128, held=100)
    machine.make_room(7, said.append, pods=False)
    assert (int((tmp_path / "limit").read_text()), said) == (128, [])
    machine.make_room(8, said.append, pods=False)
    assert (int((tmp_path / "limit").read_text()), len(said)) == (1024, 1)


def test_hosts_that_will_run_pods_get_room_to_grow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    said = limited(monkeypatch, tmp_path / "limit", limit=128, held=4)
    machine.make_room(0, said.append, pods=True)
    assert said == []
    machine.make_room(1, said.append, pods=True)
    machine.make_room(1, said.append, pods=True)
    assert (int((tmp_path / "limit").read_text()), len(said)) == (1024, 1)


def test_a_full_machine_that_cannot_be_changed_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Fixed:
        def read_text(self) -> str:
            return "128\n"

        def write_text(self, _: str) -> None:
            raise OSError("read-only")

    limited(monkeypatch, tmp_path / "limit", limit=128, held=120)
    monkeypatch.setattr(machine, "INOTIFY", Fixed())
    machine.make_room(2, print, pods=False)
    with pytest.raises(PrecheckError, match="is 128, and with 3 more hosts it would take 132"):
        machine.make_room(3, print, pods=False)


def test_missing_capabilities_are_read_from_the_kernel() -> None:
    assert machine.missing_capabilities("Name:\tx\nCapEff:\t000001fffeffffff\n") == []
    assert machine.missing_capabilities("CapEff:\t0000000000001000\n") == ["CAP_SYS_ADMIN", "CAP_SYS_CHROOT", "CAP_MKNOD"]


@pytest.mark.parametrize("place", ["/srv/a:b", "/srv/a,b", "/srv/my cache"])
def test_a_cache_that_no_mount_could_name_is_refused(monkeypatch, place):
    monkeypatch.setenv("HA_LAB_CACHE", place)
    with pytest.raises(InventoryError, match="HA_LAB_CACHE: /srv/"):
        cache()
