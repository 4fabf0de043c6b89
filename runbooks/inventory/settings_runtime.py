"""The settings of the container runtime and of its way to registries, as typed, frozen values."""

from pathlib import Path
from typing import ClassVar

import msgspec

from runbooks.inventory.base import Model
from runbooks.inventory.words import EnvironmentName, HostPath, NoProxy, RegistryHost, RuntimeType, Settings, Url, UserName


class Login(Model, frozen=True):
    """A login of a registry. The password is in a file (0600) or in an environment variable of the machine that runs `inv`, one of the two."""

    user: UserName
    password_file: Path | None = None
    password_env: EnvironmentName | None = None


class Registry(Model, frozen=True):
    """A registry, by the name that images have in front, such as docker.io.

    ``mirrors`` are asked first, in their order. ``ca`` and ``skip_verify`` are for the mirrors, without mirrors for the registry itself.
    ``login`` is for the registry itself: a mirror that asks for one has an entry of its own.
    """

    EXAMPLE: ClassVar[str] = "- {host: docker.io, mirrors: [https://mirror.example:5000]}"
    host: RegistryHost
    mirrors: tuple[Url, ...] = ()
    ca: Path | None = None
    skip_verify: bool = False
    login: Login | None = None


class Runtime(Model, frozen=True):
    """A runtime besides runc, for Pods that ask for it by a RuntimeClass. ``options`` are those of its section in containerd's configuration."""

    type: RuntimeType
    options: Settings = msgspec.field(default_factory=dict)


class Containerd(Model, frozen=True):
    """The container runtime. ``restrict_oom_score_adj`` is for hosts that are containers themselves.

    ``root`` holds images and containers. ``files`` are the owner's own parts of containerd's configuration (TOML).
    """

    restrict_oom_score_adj: bool = False
    root: HostPath = "/var/lib/containerd"
    registries: tuple[Registry, ...] = ()
    runtimes: dict[str, Runtime] = msgspec.field(default_factory=dict)
    files: tuple[Path, ...] = ()


class Proxy(Model, frozen=True):
    """The proxy of containerd and the kubelet. ``no_proxy`` is completed with everything that belongs to the cluster (`rules.no_proxy`)."""

    http: Url | None = None
    https: Url | None = None
    no_proxy: tuple[NoProxy, ...] = ()
