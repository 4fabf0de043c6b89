"""Patches for kubeadm, and settings of one host's kubelet: what hosts.yaml gives to a host, and how that gets there.

https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/control-plane-flags/#patches
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from runbooks.commands import files, node, settings_look
from runbooks.commands.base import cmd
from runbooks.commands.files import File, Found
from runbooks.commands.settings_look import HostSettings
from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Run, Step
from runbooks.errors import InventoryError, PrecheckError
from runbooks.inventory.model import Host, Site, over
from runbooks.inventory.patch_names import KUBELET, parse
from runbooks.rules import host_patches, kubelet_env, kubelet_flags, patched
from runbooks.rules.host_patches import DIRECTORY, HostPatches
from runbooks.rules.kubeadm import minor_of
from runbooks.rules.kubeadm_args import KEPT_KUBELET

Part = Literal["control-plane", "kubelet"]
MODE = "0600"  # a patch may hold what is not for everybody


@dataclass(frozen=True, slots=True)
class Change:
    """Files that are to be written on a host, and paths of ours that are to go. ``now``: how all of them are, "" where there is none."""

    place: tuple[File, ...]
    gone: tuple[str, ...]
    now: Mapping[str, str]

    def __bool__(self) -> bool:
        return bool(self.place or self.gone)

    @property
    def fields(self) -> tuple[str, ...]:
        """Fields of KubeletConfiguration that these files set, before or after."""
        after = {each.path: each.content for each in self.place}
        return tuple(
            dict.fromkeys(
                name
                for path, text in self.now.items()
                for each in (text, after.get(path, ""))
                for name in host_patches.fields(path, each)
            )
        )


# ---- what hosts.yaml says


def problems(site: Site) -> Iterator[tuple[str, str]]:
    """Yield the key and what is wrong for each patch that cannot be read here, or is none."""
    groups = {"kubernetes.patches": site.kubernetes.patches, "roles.control_plane.patches": site.roles.control_plane.patches}
    groups |= {"roles.worker.patches": site.roles.worker.patches}
    groups |= {f"hosts[{number}].patches": host.patches for number, host in enumerate(site.hosts)}
    for group, paths in groups.items():
        for number, path in enumerate(paths):
            try:
                text = _text(path)
                name = parse(path.name)
                why = patched.wrong(text, name.kind, name.target)
                kept = [] if why else [name for name in host_patches.fields(path.name, text) if name in KEPT_KUBELET]
            except ValueError as error:
                why, kept = str(error), []
            if kept:
                why = f"sets {kept[0]}, which may not be given: {KEPT_KUBELET[kept[0]]}"
            if why:
                yield f"{group}[{number}]", f"{path} {why}"


def wanted(site: Site, host: Host, minor: int | None = None) -> HostPatches:
    """Return what ``host`` gets, for kubeadm 1.``minor`` (None: that of hosts.yaml). Raises InventoryError for a file that is no patch."""
    for key, message in problems(site):
        raise InventoryError(f"{key}: {message}", hint="inv site.check names all of them")
    texts = {path: _text(path) for path in site.of_node(host).patches}
    try:
        return host_patches.wanted(site, host, texts, minor_of(site) if minor is None else minor)
    except ValueError as error:
        raise InventoryError(f"the kubelet of {host}: {error}", hint="inv site.check") from None


def _text(path: Path) -> str:
    """Return the text of a file. Raises ValueError when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ValueError("is not text in UTF-8") from None


def on_kubelet(
    site: Site,
    host: Host,
    document: Mapping[str, Any],
    kept: Mapping[str, Any],
    theirs: Mapping[str, str],
    *,
    file: bool = False,
) -> dict[str, Any]:
    """Return what hosts.yaml says of the KubeletConfiguration of ``host``, with the values that kubeadm makes of it there; scalars are text.

    ``document``: what hosts.yaml says of all kubelets. ``kept``: the cluster's KubeletConfiguration, to which patches are applied. ``theirs``:
    patches of other people on the host, by name: kubeadm applies them too, and they may win. ``file``: as it stands in the kubelet's file,
    without what the kubelet gets as flags. Raises InventoryError for a patch of ours that does not apply, PrecheckError for one of theirs.
    """
    own = wanted(site, host)
    found, at = over(kept, document), patched.below(document)
    if minor_of(site) >= kubelet_flags.PATCHED_SINCE:
        try:
            found = patched.of_kubelet(found, {**theirs, **own.files})
        except ValueError as error:
            raise _not_applied(host, str(error), theirs) from None
        at = patched.together(at, patched.places(own.files))
    found = patched.part(found, at)
    return over(found, _texts(site.of_node(host).kubelet)) if own.flags and not file else found


def _not_applied(host: Host, why: str, theirs: Mapping[str, str]) -> InventoryError | PrecheckError:
    name = why.partition(":")[0]
    text = f"a patch of the kubelet of {host} does not apply: {why}"
    if name in theirs:
        return PrecheckError(text, hint=f"on {host}: correct {DIRECTORY}/{name}, which is not from hosts.yaml, or delete it")
    return InventoryError(text, hint="correct it, or delete it")


def theirs_on(have: HostSettings) -> dict[str, str]:
    """Return the patches on a host that are not from hosts.yaml: texts by name."""
    return {name: text for name, text in host_patches.on_host(have.files).items() if not host_patches.is_ours(name)}


def _texts(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _texts(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_texts(each) for each in value]
    return str(value).lower() if isinstance(value, bool) else str(value)


# ---- a host


def differing(site: Site, host: Host, have: HostSettings, part: Part | None = None, minor: int | None = None) -> Change:
    """Return what differs on ``host`` from what hosts.yaml says; ``part``: only that of the kubelet, or of all else.

    Raises PrecheckError when its kubelet takes no flags from a file, and needs some.
    """
    own, there = wanted(site, host, minor), host_patches.on_host(have.files)
    place = [
        File(f"{DIRECTORY}/{name}", text, mode=MODE)
        for name, text in own.files.items()
        if there.get(name) != text and _is_of(name, part)
    ]
    gone = tuple(
        f"{DIRECTORY}/{name}" for name in there if host_patches.is_ours(name) and name not in own.files and _is_of(name, part)
    )
    if part != "control-plane" and (env := _env(host, have, own.flags)):
        place.append(env)
    paths = [*(each.path for each in place), *gone]
    return Change(tuple(place), gone, {path: have.files.get(path, "") for path in paths})


def _is_of(name: str, part: Part | None) -> bool:
    return part is None or (host_patches.target(name) == KUBELET) == (part == "kubelet")


def _env(host: Host, have: HostSettings, flags: Mapping[str, str]) -> File | None:
    """Return the kubelet's file with variables as it is to be, None when it is so."""
    path = kubelet_env.path_of(have.unit)
    if not path and flags:
        raise PrecheckError(
            f"{host}: its kubelet takes flags from none of {', '.join(kubelet_env.PATHS)}, where its own settings would stand",
            hint="install the kubelet's package with its drop-in; or upgrade to 1.25, where kubeadm has patches for it",
        )
    text = have.files.get(path, "")
    new = kubelet_env.with_flags(text, flags)
    return File(path, new) if path and new != text else None


def settle(run: Run, host: Host) -> None:
    """Bring about what differs on ``host``, right before kubeadm makes a member of it.

    A reset before it has taken the patches away, and an earlier hosts.yaml may have left some, or flags, that this one does not name.
    """
    if not (run.plan and host_patches.given(run.site, host)):  # there the step of its own has told it
        make(run, host, differing(run.site, host, run.read(host, settings_look.look())))


def forget(run: Run, host: Host) -> None:
    """Take the kubelet's flags that came from hosts.yaml out of its file on ``host``; `kubeadm reset` takes the patches."""
    files_ = run.read(host, settings_look.look()).files
    there = {path: files_[path] for path in kubelet_env.PATHS if path in files_}
    place = tuple(File(path, new) for path, text in there.items() if (new := kubelet_env.with_flags(text, {})) != text)
    make(run, host, Change(place, (), {each.path: there[each.path] for each in place}))


def refuse_links(run: Run, host: Host, paths: Iterable[str]) -> None:
    """Raise PrecheckError when one of ``paths``, which are to be written on ``host``, is a symbolic link there."""
    asked = tuple(paths)
    if found := files.links(asked, run.read(host, files.found(asked)) if asked else {}):
        raise PrecheckError(f"{host}: {files.not_files(found)}", hint=files.without_link(host, found[0]))


def placeable(run: Run, host: Host, change: Change) -> Change:
    """Return the change. Raises PrecheckError when a file of it is a symbolic link on ``host``."""
    refuse_links(run, host, (each.path for each in change.place))
    return change


def make(run: Run, host: Host, change: Change) -> None:
    """Show the change, and bring it about."""
    if change.place:
        place, there = _as_there(run, host, change.place)
        run.place(host, place, there, files.place(place))
    if change.gone:
        for path in change.gone:
            run.note(host, f"{path}: hosts.yaml names it no more")
        run.change(host, cmd("rm", "-f", "--", *change.gone))


def _as_there(run: Run, host: Host, wanted: Sequence[File]) -> tuple[list[File], dict[str, Found]]:
    """Return the files as they are to be, and those that are there. The kubelet's variables keep the mode and owner that somebody gave them."""
    there = run.read(host, files.found(each.path for each in wanted))
    kept = {path: found for path, found in there.items() if path in kubelet_env.PATHS}
    return [
        replace(each, mode=kept[each.path].mode, owner=kept[each.path].owner) if each.path in kept else each for each in wanted
    ], there


def put_back(run: Run, host: Host, before: Mapping[str, str]) -> None:
    """Put patches and the kubelet's variables back as they were; ``before`` has other files too, which are left alone."""
    own = {path: text for path, text in before.items() if path.startswith(f"{DIRECTORY}/") or path in kubelet_env.PATHS}
    old = [File(path, text, mode="0644" if path in kubelet_env.PATHS else MODE) for path, text in own.items() if text]
    if old:
        run.change(host, files.place(_as_there(run, host, old)[0]))
    if new := [path for path, text in own.items() if not text]:
        run.change(host, cmd("rm", "-f", "--", *new))


def ready(site: Site, host: Host) -> Step:
    """Return the step that puts them on a host before kubeadm runs. A member of the cluster is not touched: `cluster.reconfigure` proves them."""

    def change(run: Run) -> Change:
        have = run.read(host, settings_look.look())
        if run.plan and not have.unit:  # the kubelet is installed by an earlier step
            have = replace(have, unit=f"[Service]\nEnvironmentFile=-{kubelet_env.PATHS[0]}\n")
        return differing(site, host, have)

    text = by_hand("cluster", "patches", host=host, own=wanted(site, host), directory=DIRECTORY, variables=kubelet_env.PATHS)
    return Step(
        "kubeadm's patches, its kubelet's own settings",
        host,
        done=lambda run: run.read(host, node.look(host)).joined or not change(run),
        do=lambda run: make(run, host, change(run)),
        by_hand=text,
    )
