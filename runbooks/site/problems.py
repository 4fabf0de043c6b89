"""Everything that is wrong with a site file, and its place in it: what `inv site.check` says."""

from __future__ import annotations

from pathlib import Path

from runbooks.cluster import patches, runtime_files
from runbooks.inventory import places
from runbooks.inventory.load import load_site
from runbooks.inventory.model import Site
from runbooks.inventory.problems import Problem, SiteError
from runbooks.lb import files
from runbooks.rules import kubeadm_args


def beyond_loading(site: Site) -> list[tuple[str, str]]:
    """Return the key and what is wrong, of all that loading the file does not find: flags, patches, files that are not on this machine."""
    wrong = [(key, f"{message}: {hint}") for key, message, hint in kubeadm_args.problems(site)]
    wrong += files.problems(site)
    if not site.example:  # the files of the example are somebody else's
        wrong += [*places.missing(site), *patches.problems(site), *runtime_files.problems(site)]
    return wrong


def problems(path: Path) -> tuple[Problem, ...]:
    """Return all errors of the site file at ``path``; none when it is in order."""
    try:
        loaded = load_site(path)
    except SiteError as error:
        return error.problems
    return tuple(loaded.problems(path, beyond_loading(loaded.site)))
