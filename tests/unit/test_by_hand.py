"""What people do instead of steps: every step names a section of a template, every section has a step, and their values fit."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import jinja2
import msgspec
import pytest

from runbooks import baseline
from runbooks.backup import pages
from runbooks.backup.rules.schedules import Entry
from runbooks.backup.run import offsite
from runbooks.backup.schedule import local, remote
from runbooks.backup.sets.store import Store
from runbooks.cluster import patches
from runbooks.cluster.cgroups import kubelets_accept_v1
from runbooks.engine.steps import Step
from runbooks.etcd import pages as etcd_pages
from runbooks.inventory.model import Site
from runbooks.inventory.settings import Monitoring, OfNodes, Roles
from runbooks.inventory.settings_baseline import Baseline, Time
from runbooks.lb import steps as lb_steps
from runbooks.lb.files import lb_files
from runbooks.lb.wanted import Wanted
from runbooks.monitor.apply import apply_procedure
from runbooks.monitor.rules.scope import Scope
from runbooks.pages import page as pages_page
from runbooks.recover import pages as recover_pages
from runbooks.recover.member import procedure
from runbooks.recover.quorum import prepare
from runbooks.render import ROOT
from runbooks.rules.baseline_files import PARTS
from runbooks.site.pages import table
from runbooks.upgrade import hosts_yaml
from runbooks.upgrade.context import Upgrade
from runbooks.upgrade.procedure import not_too_many_failed
from runbooks.upgrade.rules.choices import Choices
from runbooks.view.cluster import Survey
from tests.support import fakes

pytestmark = pytest.mark.unit

TEMPLATES = sorted((ROOT / "templates" / "by_hand").glob("*.md.j2"))


def sections(path: Path) -> dict[tuple[str, str], set[str]]:
    """Every section of a template, and the values that it takes."""
    parsed = jinja2.Environment().parse(path.read_text(encoding="utf-8"))  # noqa: S701 - nothing is rendered
    wing = path.name.removesuffix(".md.j2")
    macros = [macro for macro in parsed.find_all(jinja2.nodes.Macro) if not macro.name.startswith("_")]
    assert not any(macro.defaults for macro in macros), f"{wing}: a default hides a value that a step forgot"
    return {(wing, macro.name): {argument.name for argument in macro.args} for macro in macros}


TAKES = {section: values for path in TEMPLATES for section, values in sections(path).items()}


def calls(name: str) -> Iterator[tuple[str, ast.Call]]:
    """Every call of ``name`` in runbooks, with where it is."""
    for path in sorted((ROOT / "runbooks").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def test_every_step_says_what_to_do_by_hand():
    silent = [where for where, call in calls("Step") if "by_hand" not in {keyword.arg for keyword in call.keywords}]
    assert silent == []


def uses() -> Iterator[tuple[str, tuple[str, str], set[str]]]:
    """Every place that names a section, the section, and the values that it is given there."""
    for name, first in (("by_hand", ()), ("_say", ("page",))):
        for where, call in calls(name):
            words = (*first, *(word.value for word in call.args if isinstance(word, ast.Constant)))
            if len(words) == 2:
                yield where, (str(words[0]), str(words[1])), {str(keyword.arg) for keyword in call.keywords}


def test_every_section_is_used_and_gets_the_values_that_it_takes():
    wrong = [
        f"{where}: {section} takes {TAKES.get(section, 'nothing: there is no such section')}, not {values}"
        for where, section, values in uses()
        if values != TAKES.get(section)
    ]
    assert wrong == []
    assert TAKES.keys() - {section for _, section, _ in uses()} == set()


def on_no_page(site: Site) -> Iterator[Step]:
    """The steps of the procedures that have no page, and those that no page's case has."""
    entry = Entry(site.name, "/opt/ha/hosts.yaml", "17 2 * * *", "3h", "2026-01-07T02:17:00+00:00", "/opt/ha")
    host, store = site.control_plane[0], Store(site)
    for timer in (False, True):
        yield from local.scheduled(site, entry, timer=timer)
        yield from remote.scheduled(remote.Placing(host, entry, timer))
    yield from local.unscheduled(site.name, entry.file)
    yield from remote.unscheduled(site.name, host)
    yield from procedure.removal(etcd_pages.members(site)[0])
    # A configuration from before lb.setup.
    theirs = Wanted(site, site.load_balancers[0], ())
    yield from lb_steps.set_up("lb.rollback", "", [theirs])
    second = site.load_balancers[1]
    yield from lb_steps.set_up("lb.setup", "", [theirs, Wanted(site, second, lb_files(site, second, None))], deaf=True)
    yield offsite.forget(store, pages.repository(site))
    yield prepare.fetch(recover_pages.restoring(site, survivor=True), host)
    yield kubelets_accept_v1(Survey(), site.workers)
    # Of upgrade.run, what the page of a site with one worker at a time does not have.
    yield hosts_yaml.set_version(Path("hosts.yaml"), "1.36.3")
    upgrade = Upgrade(site, (1, 36, 3), Choices(to=(1, 36, 3)))
    yield not_too_many_failed(upgrade, site.workers[:2])
    # A kubelet with settings of its own, as a patch and as flags.
    for version in ("1.25.0", "1.24.0"):
        own = msgspec.structs.replace(
            site,
            kubernetes=msgspec.structs.replace(site.kubernetes, version=version),
            roles=Roles(worker=OfNodes(kubelet={"maxPods": 50})),
        )
        yield patches.ready(own, own.workers[0])
    # An ordinary Prometheus.
    ordinary = msgspec.structs.replace(site, monitoring=Monitoring(form="files"))
    yield from apply_procedure(Scope(ordinary), ordinary.hosts, Path("prometheus"))
    # What is left of an earlier baseline, and the other time service.
    yield from (baseline.step(site, host, part) for part in PARTS)
    other = msgspec.structs.replace(site, baseline=Baseline(time=Time(service="timesyncd", servers=("ntp.example.org",))))
    yield baseline.step(other, host, "time")


def test_every_section_is_rendered_for_a_real_step():
    """A name that a template uses and nothing gives it raises here."""
    site = fakes.example()
    steps = [*(step for page in table.pages(site) for step in page.procedure), *on_no_page(site)]
    assert [step.title for step in steps if not pages_page.markdown(step.by_hand).strip()] == []
    rendered = {(step.by_hand.wing, step.by_hand.section) for step in steps if step.by_hand}
    around = {section for section in TAKES if section[0] == "page" or section[1].startswith("before_")}
    assert TAKES.keys() - rendered == around
