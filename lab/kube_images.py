"""The images that kubeadm asks for, assembled from programs in one docker-archive. Nothing is pulled."""

from __future__ import annotations

import io
import json
import os
import re
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.kube_parts import listed
from lab.libraries import closure, inside
from lab.process import run
from runbooks.errors import OutcomeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.kube_build import Job
    from lab.kube_parts import Parts

TOOLS_IMAGE = "ha-lab/tools:1"
EPOCH = "2021-01-01T00:00:00Z"
SEARCH_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DIRECTORIES = [
    "etc",
    "tmp",
    "run",
    "var",
    "proc",
    "sys",
    "dev",
    "root",
    "usr",
    "usr/bin",
    "usr/sbin",
    "usr/lib",
    "usr/lib64",
    "usr/local",
    "usr/local/bin",
]
MERGED = {name: f"usr/{name}" for name in ("bin", "sbin", "lib", "lib64")}
XTABLES = "usr/sbin/xtables-nft-multi"
IPTABLES = [f"usr/sbin/ip{six}tables{what}" for six in ("", "6") for what in ("", "-save", "-restore")]
NETWORK = (XTABLES, "usr/sbin/conntrack", "usr/bin/kmod", "usr/bin/ip")
FILES = Path(__file__).parent / "recipe" / "kubernetes" / "files"

# What a layer holds, by path without leading slash: a file to copy, the target of a link, or None for a directory.
Layer = Mapping[str, Path | str | None]


@dataclass(frozen=True, slots=True)
class Image:
    """One image with its layers, lowest first."""

    name: str
    layers: tuple[Layer, ...]
    entrypoint: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Layers:
    """The layers that images have in common."""

    base: Layer
    network: Layer
    etcd: Layer
    pause: Layer


def make(job: Job, programs: Mapping[str, Path], parts: Parts, target: Path) -> None:
    """Write every image of every version into the archive ``target``. ``programs`` maps a version to its programs' directory."""
    root, pause = job.base / "root", {"pause": parts.tools["pause"]}
    base, network = base_layer(), network_layer(root)
    etcd = {one: etcd_layer(root, one.files or sorted((job.unpacked / "usr/bin").glob("etcd*"))) for one in parts.etcd.values()}
    images = [
        image
        for version, directory in programs.items()
        for image in of_version(
            [name for name in listed(directory, version) if "/coredns" not in name],
            directory,
            Layers(base, network, etcd[parts.etcd[version]], pause),
        )
    ]
    images.append(Image(runtimes_pause(job.unpacked), (pause,), ("/pause",)))
    kubectl: Layer = {"usr/local/bin/kubectl": next(iter(programs.values())) / "kubectl"}
    images.append(Image(TOOLS_IMAGE, (base, network, small_programs(root, next(job.unpacked.glob("**/bin/busybox"))), kubectl)))
    write(target, {image.name: image for image in images}.values(), job.work)


def of_version(names: Iterable[str], programs: Path, layers: Layers) -> list[Image]:
    """Return the images called ``names``, as kubeadm lists them for one version. Pure. OutcomeError on one we cannot make."""
    images = []
    for name in names:
        short = name.rpartition("/")[2].partition(":")[0]
        program: Layer = {f"usr/local/bin/{short}": programs / short}
        if short == "pause":
            images.append(Image(name, (layers.pause,), ("/pause",)))
        elif short == "etcd":
            images.append(Image(name, (layers.base, layers.etcd)))
        elif short == "kube-proxy":
            images.append(Image(name, (layers.base, layers.network, program)))
        elif short in {"kube-apiserver", "kube-controller-manager", "kube-scheduler"}:
            images.append(Image(name, (layers.base, program)))
        else:
            raise OutcomeError(f"kubeadm wants the image {name}, which the lab cannot make")
    return images


def base_layer() -> Layer:
    """Return the directories and the few files that programs look for."""
    return {
        **dict.fromkeys(DIRECTORIES),
        **MERGED,
        "etc/passwd": FILES / "passwd",
        "etc/group": FILES / "group",
        "etc/nsswitch.conf": FILES / "nsswitch.conf",
    }


def etcd_layer(root: Path, programs: Sequence[Path]) -> Layer:
    """Return etcd's ``programs`` with the libraries of the hosts' tree ``root`` that they load."""
    return {**{f"usr/local/bin/{path.name}": path for path in programs}, **closure(root, programs)}


def network_layer(root: Path) -> Layer:
    """Return what kube-proxy calls: iptables with its extensions, conntrack and modprobe, each with its libraries."""
    programs = {path: inside(root, path) for path in NETWORK}
    extensions = {
        str(path.relative_to(root)): path for path in sorted(root.glob("usr/lib/*/xtables/*.so")) if not path.is_symlink()
    }
    aliases = {
        str(path.relative_to(root)): str(path.readlink()) for path in root.glob("usr/lib/*/xtables/*.so") if path.is_symlink()
    }
    links = {**dict.fromkeys(IPTABLES, Path(XTABLES).name), "usr/sbin/modprobe": "../bin/kmod", "usr/sbin/ip": "../bin/ip"}
    return {**programs, **extensions, **closure(root, [*programs.values(), *extensions.values()]), **aliases, **links}


def small_programs(root: Path, program: Path) -> Layer:
    """Return a shell and busybox's small programs, but for those that the network layer has in full.

    The shell is bash: Debian's busybox has one that runs its own applets, whatever PATH says.
    """
    shell = inside(root, "usr/bin/bash")
    applets = set(run([str(program), "--list"]).stdout.split()) - {"busybox", "ip", "modprobe", "sh", "ash"}
    return {
        "usr/bin/bash": shell,
        "usr/bin/sh": "bash",
        **closure(root, [shell]),
        "usr/bin/busybox": program,
        **{f"usr/bin/{name}": "busybox" for name in sorted(applets)},
    }


def runtimes_pause(parts: Path) -> str:
    """Return the sandbox image of a containerd that nobody has configured: production pulls it, so the hosts have it."""
    found = re.search(
        r"""^ *sandbox(?:_image)? = ["']([^"']+)["']""",
        run([str(parts / "usr/bin/containerd"), "config", "default"]).stdout,
        re.MULTILINE,
    )
    if found is None:
        raise OutcomeError("containerd names no sandbox image")
    return found[1]


# ---------------------------------------------------------------------- the archive


def write(target: Path, images: Iterable[Image], work: Path) -> None:
    """Write ``images`` as a docker-archive. A layer that several have is there once."""
    digests: dict[int, str] = {}
    manifest = []
    with tarfile.open(target, "w") as archive:
        for image in images:
            for layer in image.layers:
                if id(layer) not in digests:
                    digests[id(layer)] = add_layer(archive, layer, work / "layer.tar")
            used = [digests[id(layer)] for layer in image.layers]
            text = json.dumps(configuration(image, used)).encode()
            name = f"{sha256(text).hexdigest()}.json"
            add_bytes(archive, name, text)
            manifest.append({"Config": name, "RepoTags": [image.name], "Layers": [f"{digest}.tar" for digest in used]})
        add_bytes(archive, "manifest.json", json.dumps(manifest).encode())


def configuration(image: Image, digests: list[str]) -> dict[str, Any]:
    """Return the image's configuration. ``digests`` are its layers', without "sha256:". Pure, but for the architecture."""
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    settings: dict[str, Any] = {"Env": [SEARCH_PATH], "WorkingDir": "/"}
    if image.entrypoint:
        settings["Entrypoint"] = list(image.entrypoint)
    return {
        "architecture": architecture,
        "os": "linux",
        "created": EPOCH,
        "config": settings,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests]},
        "history": [{"created": EPOCH, "created_by": "ha-lab"}] * len(digests),
    }


def add_layer(archive: tarfile.TarFile, layer: Layer, scratch: Path) -> str:
    """Append ``layer`` as a tar of its own and return its digest. The same contents give the same digest."""
    with tarfile.open(scratch, "w") as tar:
        for path, content in layer.items():
            entry = tarfile.TarInfo(path)
            entry.mode = 0o1777 if path == "tmp" else 0o755
            if content is None:
                entry.type = tarfile.DIRTYPE
                tar.addfile(entry)
            elif isinstance(content, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, content
                tar.addfile(entry)
            else:
                entry.size = content.stat().st_size
                with content.open("rb") as file:
                    tar.addfile(entry, file)
    with scratch.open("rb") as file:
        digest = file_digest(file, "sha256").hexdigest()
    archive.add(scratch, f"{digest}.tar")
    scratch.unlink()
    return digest


def add_bytes(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    """Append a small file."""
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))
