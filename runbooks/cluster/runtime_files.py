"""The files of the container runtime of a node, made from the site: containerd's configuration, its way to registries, and its proxy.

https://github.com/containerd/containerd/blob/main/docs/cri/config.md
https://github.com/containerd/containerd/blob/main/docs/hosts.md
https://github.com/containerd/containerd/blob/main/docs/cri/registry.md#configure-registry-credentials
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from runbooks.cluster import containerd_toml
from runbooks.commands.base import Secret
from runbooks.commands.containerd import PROGRAMS
from runbooks.commands.files import File, Found
from runbooks.commands.prepare import CONTAINERD_CONFIG
from runbooks.commands.runtime_files import CA, CERTS, PARTS, PROXIED, PROXY_PART
from runbooks.errors import InventoryError
from runbooks.inventory.model import Site
from runbooks.inventory.settings_runtime import Registry
from runbooks.render import render
from runbooks.rules import drop_in
from runbooks.rules.no_proxy import no_proxy
from runbooks.rules.runtime_limits import whole_path

PLACEHOLDER: Final = Secret("PASSWORD")


def runtime_files(site: Site, pause: str, containerd: int, passwords: Mapping[str, Secret] | None = None) -> tuple[File, ...]:
    """Return every file of the container runtime, and the proxies of its services; arguments as for `node_files`.

    Raises InventoryError when a file that hosts.yaml names cannot be used.
    """
    return (
        containerd_file(site, pause, containerd, passwords=passwords),
        *parts(site),
        *registry_files(site),
        *proxy_files(site),
    )


def containerd_file(
    site: Site, pause: str, containerd: int, *, cni: bool = True, passwords: Mapping[str, Secret] | None = None
) -> File:
    """Return containerd's configuration for the first number of its version. Without ``cni``: as it was written before 1.x had bin_dir in it.

    With a login of a registry only root may read it.
    """
    settings = site.kubernetes.containerd
    logins = {
        each.host: (each.login.user, passwords[each.host] if passwords else PLACEHOLDER)
        for each in settings.registries
        if each.login
    }
    more = containerd_toml.runtimes(settings.runtimes, containerd, site.kubernetes.cgroup_driver == "systemd")
    content = render(
        "containerd-config.toml",
        pause=pause,
        containerd=containerd,
        systemd_cgroup=site.kubernetes.cgroup_driver == "systemd",
        restrict_oom_score_adj=settings.restrict_oom_score_adj,
        cni=cni,
        head=containerd_toml.head(settings, f"{PARTS}/v{min(containerd, 2) + 1}/*.toml"),
        more=more + containerd_toml.logins(logins, containerd),
    )
    return File(CONTAINERD_CONFIG, content, mode="0600" if logins else "0644")


def config_for(
    site: Site,
    present: Found | None,
    pause: str,
    containerd: int,
    programs: Collection[str],
    passwords: Mapping[str, Secret] | None,
) -> File:
    """Return containerd's configuration for a host that runs: the one that is ``present`` when it says the same in a form that this tool wrote before.

    A new one names the directory of the pod network's programs if containerd has looked there (``programs``; none: not known).
    """
    forms = [
        containerd_file(site, pause, number, cni=cni, passwords=passwords) for number, cni in ((1, True), (1, False), (2, True))
    ]
    same = next((form for form in forms if present and form.content == present.content), None)
    return same or containerd_file(site, pause, containerd, cni=not programs or PROGRAMS in programs, passwords=passwords)


def parts(site: Site) -> tuple[File, ...]:
    """Return the owner's parts of containerd's configuration, in the directory of their version. Raises InventoryError for one that is wrong."""
    found = []
    for number, path in enumerate(site.kubernetes.containerd.files):
        text = _sound(f"kubernetes.containerd.files[{number}]", path, _wrong_part(site))
        found.append(File(f"{PARTS}/v{drop_in.version(text)}/{path.name}", text, mode="0600"))
    return tuple(found)


def registry_files(site: Site) -> tuple[File, ...]:
    """Return what containerd reads at every pull: hosts.toml of each registry, and the certificates of CAs. It is not restarted for them."""
    found = []
    for number, each in enumerate(site.kubernetes.containerd.registries):
        if each.ca:
            text = _sound(f"kubernetes.containerd.registries[{number}].ca", each.ca, _wrong_ca)
            found.append(File(f"{CERTS}/{each.host}/{CA}", text))
        if each.mirrors or each.ca or each.skip_verify:
            found.append(File(f"{CERTS}/{each.host}/hosts.toml", _hosts_toml(each)))
    return tuple(found)


def problems(site: Site) -> Iterator[tuple[str, str]]:
    """Yield the key and what is wrong for each file that hosts.yaml names here, that can be read and cannot be used. For `inv site.check`."""
    settings = site.kubernetes.containerd
    named = [(f"kubernetes.containerd.files[{n}]", path, _wrong_part(site)) for n, path in enumerate(settings.files)]
    named += [
        (f"kubernetes.containerd.registries[{n}].ca", each.ca, _wrong_ca) for n, each in enumerate(settings.registries) if each.ca
    ]
    for key, path, wrong in named:
        try:
            why = wrong(path.read_text(encoding="utf-8"))
        except OSError:
            continue  # that is said elsewhere
        except UnicodeDecodeError:
            why = "is not text in UTF-8"
        if why:
            yield key, f"{path} {why}"


def _wrong_part(site: Site) -> Callable[[str], str]:
    return lambda text: drop_in.wrong(text, site.kubernetes.containerd.runtimes)


def _wrong_ca(text: str) -> str:
    fine = "-----BEGIN CERTIFICATE-----" in text and "PRIVATE KEY" not in text
    return "" if fine else "has to hold certificates in PEM, and nothing else"


def _hosts_toml(registry: Registry) -> str:
    trust = [f'ca = "{CERTS}/{registry.host}/{CA}"'] if registry.ca else ["skip_verify = true"] if registry.skip_verify else []
    return render(
        "containerd-hosts.toml",
        host=registry.host,
        mirrors=[(url.rstrip("/"), whole_path(url)) for url in registry.mirrors],
        trust=trust,
    )


def proxy_files(site: Site) -> tuple[File, ...]:
    """Return the drop-ins with which systemd gives containerd and the kubelet their proxy; none without a proxy."""
    proxy = site.baseline.proxy
    if not proxy:
        return ()
    given = {"HTTP_PROXY": proxy.http, "HTTPS_PROXY": proxy.https, "NO_PROXY": no_proxy(site)}
    environment = {name: text for name, text in given.items() if text}
    content = render("service-proxy.conf", environment=environment)
    return tuple(File(str(PurePosixPath("/etc/systemd/system", f"{unit}.service.d", PROXY_PART)), content) for unit in PROXIED)


def _sound(key: str, path: Path, wrong: Callable[[str], str]) -> str:
    """Return the text of a file of the operator's. Raises InventoryError when it cannot be read, or ``wrong`` says why it cannot be used."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InventoryError(f"{key}: {path} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise InventoryError(f"{key}: {path} is not text in UTF-8") from None
    if why := wrong(text):
        raise InventoryError(f"{key}: {path} {why}")
    return text
