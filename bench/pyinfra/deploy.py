"""The same check in pyinfra: packages present, files equal, services running and enabled. bench.setup_speed runs it."""

# mypy: ignore-errors

from pathlib import Path

from pyinfra import host
from pyinfra.operations import apt, files, systemd

rendered = Path(host.data.rendered) / host.name

apt.packages(name="packages", packages=["haproxy", "keepalived", "socat"], _sudo=True)
for path in sorted(rendered.rglob("*")):
    if path.is_file():
        files.put(
            name=f"file {path.name}",
            src=str(path),
            dest=f"/{path.relative_to(rendered)}",
            user="root",
            group="root",
            mode=host.data.modes[f"/{path.relative_to(rendered)}"],
            _sudo=True,
        )
for unit in ("haproxy", "keepalived"):
    systemd.service(name=f"service {unit}", service=f"{unit}.service", running=True, enabled=True, _sudo=True)
