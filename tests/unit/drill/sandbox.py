"""A host that is a directory: systemd is a stand-in that knows its few words and really waits."""

from __future__ import annotations

import time
from pathlib import Path

from runbooks.commands import drill
from runbooks.commands.base import Answer, Command
from runbooks.commands.drill import Standing
from tests.support import fakes

SYSTEMCTL = """#!/bin/bash
exec 9>&-
cd "@TOP@" || exit 1
echo "$*" >>log
run() { bash -c "$(sed -n 's/^ExecStart=//p' units/ha-runbooks-drill.service)"; }
case "$*" in
"-q is-active kubelet") [ -e kubelet ] ;;
"stop kubelet") rm -f kubelet ;;
"start kubelet") if [ -e stuck ]; then rm stuck; exit 1; fi; touch kubelet ;;
"-q is-active ha-runbooks-drill.timer") [ -e timer ] ;;
"show ha-runbooks-drill.timer -p SubState --value") if [ -e timer ]; then cat elapsed 2>/dev/null || echo waiting; else echo dead; fi ;;
"enable -q --now ha-runbooks-drill.timer")
    [ ! -e no-timers ] || exit 1
    touch timer
    after=$(sed -n 's/^OnActiveSec=//p' units/ha-runbooks-drill.timer)
    [ ! -e never ] || exit 0
    held='for _ in {1..1200}; do [ -e hold ] || break; sleep 0.05; done'
    setsid bash -c "sleep $after; $held; [ ! -e timer ] || systemctl start ha-runbooks-drill.service" >/dev/null 2>&1 </dev/null &
    ;;
"disable -q --now ha-runbooks-drill.timer") rm -f timer ;;
"start ha-runbooks-drill.service") run ;;
"stop ha-runbooks-drill.service" | daemon-reload) ;;
*) echo "unexpected: systemctl $*" >>log; exit 9 ;;
esac
"""


class SandboxHost:
    """A host that is a directory, with a kubelet that runs."""

    def __init__(self, top: Path) -> None:
        self.top = top
        for name in ("bin", "units"):
            (top / name).mkdir()
        (top / "bin" / "systemctl").write_text(SYSTEMCTL.replace("@TOP@", str(top)))
        (top / "bin" / "systemctl").chmod(0o755)
        (top / "comm").write_text("systemd\n")
        self.flag("kubelet")

    def flag(self, name: str) -> None:
        (self.top / name).touch()

    def release(self) -> None:
        """Let the timer elapse, which "hold" had stopped from it."""
        (self.top / "hold").unlink()

    def there(self, name: str) -> bool:
        return (self.top / name).exists()

    def program(self, command: Command) -> str:
        places = {
            "/etc/systemd/system": "units",
            "/var/lib/ha-runbooks/drill": "drill",
            "/run/ha-runbooks-drill.lock": "lock",
            "/proc/1/comm": "comm",
            "/etc/kubernetes/manifests": "manifests",
            "/sys/fs/cgroup": "cgroup",
            "/sys/dev/block": "block",
        }
        text = command.program
        for path, name in places.items():
            text = text.replace(path, str(self.top / name))
        text = text.replace("i < 300", "i < 20").replace("sleep 5", "sleep 0.1")
        return f"PATH={self.top}/bin:$PATH\n{text}"

    def run(self, command: Command) -> Answer:
        return fakes.bash(self.program(command))

    def standing(self) -> Standing:
        return drill.look().parse(self.run(drill.look().command))

    def clean(self) -> bool:
        return not self.there("timer") and not self.there("drill") and list((self.top / "units").iterdir()) == []

    def waits_for(self, name: str, seconds: float = 60) -> bool:
        deadline = time.monotonic() + seconds
        while not self.there(name) and time.monotonic() < deadline:
            time.sleep(0.02)
        return self.there(name)

    @property
    def log(self) -> list[str]:
        return (self.top / "log").read_text().splitlines()
