"""pyinfra and Ansible in a throw-away environment, told to do what `inv lb.setup` does when there is nothing to do."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bench.twin import LBS
from lab import disk
from lab.names import cache
from lab.process import run

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bench.twin import Twin
    from lab.control import Lab
    from lab.names import Instance

HERE = Path(__file__).parent
PACKAGES = ("pyinfra", "ansible-core")
ON_HOSTS = ("python3", "python3-apt")  # Ansible runs its modules on the hosts; nothing else here needs Python there

# What makes Ansible as fast as it gets: pipelining, a connection to every host at once, and its connections kept between runs.
ANSIBLE = {
    "ANSIBLE_PYTHON_INTERPRETER": "/usr/bin/python3",
    "ANSIBLE_PIPELINING": "1",
    "ANSIBLE_FORKS": "20",
    "ANSIBLE_LOCALHOST_WARNING": "0",
    "LC_ALL": "C.UTF-8",
}


def install() -> Path:
    """Return the environment with both, which is made once."""
    venv = cache() / "bench-venv"
    if not (venv / "bin/ansible-playbook").exists():
        run([sys.executable, "-m", "venv", str(venv)])
        run([str(venv / "bin/pip"), "install", "-q", *PACKAGES], timeout_s=600)
    return venv


def login(instance: Instance) -> dict[str, str]:
    """Return Ansible's variables for a login on the hosts of a lab."""
    options = f"-o UserKnownHostsFile={instance.known_hosts} -o StrictHostKeyChecking=yes -o IdentitiesOnly=yes"
    return {"ansible_user": "ops", "ansible_ssh_private_key_file": str(instance.key), "ansible_ssh_common_args": options}


def python_on_hosts(lab: Lab, hosts: Iterable[str]) -> None:
    """Install Python on hosts from this machine's APT sources (the lab has no uplink, so the packages are carried in)."""
    store = cache() / "bench-debs"
    for host in hosts:
        asked = lab.console(host, ["dpkg-query", "-Wf", "${db:Status-Status}", ON_HOSTS[-1]], check=False)
        if "installed" in asked.stdout:
            continue
        root = disk.root(lab.instance, host)
        shutil.rmtree(store, ignore_errors=True)
        (store / "partial").mkdir(parents=True)
        state = [f"Dir::State::status={root}/var/lib/dpkg/status", f"Dir::Cache::archives={store}", "Debug::NoLocking=1"]
        options = [word for setting in state for word in ("-o", setting)]
        argv = ["apt-get", "-qq", *options, "--no-install-recommends", "--download-only", "install", *ON_HOSTS]
        subprocess.run([*argv, "-y"], check=True, capture_output=True)
        shutil.copytree(store, root / "root/bench-debs", dirs_exist_ok=True, ignore=shutil.ignore_patterns("partial"))
        words = "apt-get -qq -y --no-install-recommends install /root/bench-debs/*.deb && rm -r /root/bench-debs"
        lab.console(host, ["sh", "-c", words], check=True)


class Rivals:
    """Their installation, inventories and command lines."""

    def __init__(self, twin: Twin) -> None:
        self._twin = twin
        self._venv = cache() / "bench-venv"
        self._work = twin.lab.instance.state / "bench-rivals"
        instance = twin.lab.instance
        self.addresses = {host.name: str(host.address) for host in twin.site.load_balancers}
        self.login = [str(instance.key), str(instance.known_hosts), *self.addresses.values()]

    def prepare(self) -> None:
        """Install what is missing, render our files for them to compare, write their inventories."""
        install()
        python_on_hosts(self._twin.lab, LBS)
        shutil.rmtree(self._work, ignore_errors=True)
        self._work.mkdir()
        self._twin.inv("lb.render", "--to", str(self._work / "rendered"))
        modes = self._modes()
        instance = self._twin.lab.instance
        data = {"rendered": str(self._work / "rendered"), "modes": modes}
        ssh = {
            "ssh_user": "ops",
            "ssh_key": str(instance.key),
            "ssh_known_hosts_file": str(instance.known_hosts),
            "ssh_strict_host_key_checking": "yes",
        }
        hosts = [(name, {"ssh_hostname": address, **ssh, **data}) for name, address in self.addresses.items()]
        (self._work / "inventory.py").write_text(f"lb = {hosts!r}\n")
        words = login(instance)
        places = [{"path": path, "mode": mode} for path, mode in modes.items()]
        group = {
            "hosts": {name: {"ansible_host": address} for name, address in self.addresses.items()},
            "vars": {**words, "rendered": data["rendered"], "places": places},
        }
        (self._work / "inventory.json").write_text(json.dumps({"lb": group}))

    def pyinfra(self) -> list[str]:
        """Return pyinfra's command line; -y is its word for no questions."""
        return [str(self._venv / "bin/pyinfra"), "-y", str(self._work / "inventory.py"), str(HERE / "pyinfra/deploy.py")]

    def ansible(self) -> list[str]:
        """Return Ansible's command line."""
        return [
            str(self._venv / "bin/ansible-playbook"),
            "-i",
            str(self._work / "inventory.json"),
            str(HERE / "ansible/site.yml"),
        ]

    def ansible_settings(self) -> dict[str, str]:
        return dict(ANSIBLE)

    def versions(self) -> dict[str, str]:
        """Return the versions that were compared."""
        listed = run([str(self._venv / "bin/pip"), "list", "--format=json"]).stdout
        return {each["name"]: each["version"] for each in json.loads(listed) if each["name"] in PACKAGES}

    def _modes(self) -> dict[str, str]:
        """Return path -> mode as the hosts have it (`lb.render` writes for reading only)."""
        top = self._work / "rendered" / LBS[0]
        paths = sorted(f"/{path.relative_to(top)}" for path in top.rglob("*") if path.is_file())
        modes = self._twin.on(LBS[0], "stat", "-c", "0%a", *paths).stdout.split()
        return dict(zip(paths, modes, strict=True))
