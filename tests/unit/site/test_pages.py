"""The pages under docs/runbooks: whole, usable by hand, and what the procedures say today."""

from __future__ import annotations

import re
import subprocess
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec
import pytest

import tasks
from runbooks.engine.by_hand import by_hand
from runbooks.engine.session import Options, Session
from runbooks.engine.steps import Procedure, Step, Together
from runbooks.engine.tasks import PlannedTask, ProcedureTask
from runbooks.errors import InventoryError, OutcomeError
from runbooks.inventory.model import Site
from runbooks.pages import page as pages_page
from runbooks.pages.page import Page
from runbooks.site.pages import files, table, write
from tests.support import fakes

pytestmark = pytest.mark.unit

replace = msgspec.structs.replace


def commands(kind: type[PlannedTask]) -> set[str]:
    """Every command of the site that changes something (the lab's own are no runbooks)."""
    return {
        f"{chapter}.{name}"
        for chapter, collection in tasks.ns.collections.items()
        for name, task in collection.tasks.items()
        if chapter != "lab" and isinstance(task, kind)
    }


def everything(site: Site) -> dict[str, str]:
    return write.everything(site)


def markdown(site: Site) -> dict[str, str]:
    return {name: text for name, text in everything(site).items() if name.endswith(".md")}


# ---- whole


def test_every_command_that_changes_something_has_a_page_or_a_reason():
    there = {page.procedure.key for page in table.pages(fakes.example())}
    assert commands(PlannedTask) - there == table.PAGELESS.keys()
    assert there <= commands(PlannedTask)
    assert not commands(ProcedureTask) & table.PAGELESS.keys()
    assert all(table.PAGELESS.values())


def test_pages_have_names_of_their_own():
    names = [page.name for page in table.pages(fakes.example())]
    assert len(set(names)) == len(names)


def test_the_pages_in_docs_are_what_the_procedures_say():
    stale = write.stale(everything(fakes.example()), write.SHIPPED)
    assert stale == {}, f"docs/runbooks is out of date; refresh it: {pages_page.REFRESH}"


def small(site: Site) -> Site:
    """One control plane host, one worker, no backups."""
    return replace(site, hosts=(*site.load_balancers, site.control_plane[0], site.workers[0]), backup=None)


def lonely(site: Site) -> Site:
    """One control plane host, and nothing to be seen from."""
    return replace(site, hosts=(*site.load_balancers, site.control_plane[0]))


@pytest.mark.parametrize("change", [small, lonely])
def test_other_sites_have_pages_as_well(change):
    site = change(fakes.site())
    found = markdown(site)
    assert {"README.md", "lb.setup.md", "cluster.init.md", "etcd.defrag.md", "recover.node.md"} <= found.keys()
    assert ("backup.run.md" in found) == bool(site.backup)
    assert "master2" not in "".join(found.values())


def test_pages_have_the_sites_own_directory_of_etcd():
    example = fakes.site()
    default, found = (
        everything(example),
        everything(replace(example, kubernetes=replace(example.kubernetes, etcd_data_dir="/data/etcd"))),
    )
    text = "".join(found.values())
    assert "/var/lib/etcd" in "".join(default.values())
    assert (
        "/var/lib/etcd" in text,
        "--ignore-preflight-errors=DirAvailable--data-etcd`" in text,
        "/data/etcd.aside-" in text,
    ) == (False, True, True)


def test_no_page_has_a_secret():
    vrrp = replace(fakes.site().load_balancer.vrrp, version=2, advert_ms=1000)
    site = replace(fakes.site(), load_balancer=replace(fakes.site().load_balancer, vrrp=vrrp))
    found = files.files(site)
    assert "auth_pass ***" in found["files/lb1/etc/keepalived/keepalived.conf"]
    assert "Replace `***` in keepalived.conf" in everything(site)["lb.setup.md"]
    assert 'certificateKey": "CERTIFICATE-KEY"' in found["files/kubeadm/init/master1.yaml"]
    joins = found["files/kubeadm/join/master2.yaml"] + found["files/kubeadm/join/worker1.yaml"]
    assert joins.count('"TOKEN"') == joins.count('"sha256:CA-HASH"') == 2
    assert joins.count('"CERTIFICATE-KEY"') == 1
    assert not any(secret in "".join(found.values()) for secret in (files.KEY, files.TOKEN, files.CA_HASH))


# ---- usable


def blocks(text: str) -> list[str]:
    """What is there to be typed: lines that are indented by four."""
    found = []
    for typed, lines in groupby(text.splitlines(), key=lambda line: line.startswith("    ")):
        if typed:
            found.append("\n".join(line[4:] for line in lines))
    return found


def test_what_is_to_be_typed_is_shell():
    wrong = []
    for name, text in markdown(fakes.example()).items():
        for block in blocks(text):
            checked = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, check=False)
            if checked.returncode:
                wrong.append(f"{name}: {block}: {checked.stderr}")
    assert wrong == []


def anchors(path: Path) -> set[str]:
    """GitHub's names of the headings in a page."""
    headings = re.findall(r"(?m)^#+ (.*)$", path.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_lead_somewhere():
    broken = []
    for name, text in markdown(fakes.example()).items():
        for link in re.findall(r"\]\(([^)]+)\)", text):
            target, _, anchor = link.partition("#")
            path = write.SHIPPED / target
            if not path.exists() or (anchor and anchor not in anchors(path)):
                broken.append(f"{name}: {link}")
    assert broken == []


def test_a_page_says_what_kubectl_and_etcdctl_mean_where_it_uses_them():
    for page in table.pages(fakes.example()):
        text = pages_page.text(fakes.example(), page)
        steps = text.partition("## Steps")[2]
        for word in pages_page.WORDS:
            used = re.search(rf"[`$( ]{word.section} [a-z-]", steps)
            assert not used or pages_page.markdown(word) in text, f"{page.name}: {word.section}"


# ---- one page


@pytest.fixture
def plain(monkeypatch) -> None:
    """Sections of the template "plain" are the words themselves."""
    section = pages_page.section
    monkeypatch.setattr(
        pages_page, "section", lambda name, *rest: rest[0] if name == "by_hand/plain.md" else section(name, *rest)
    )


def page(*steps: Step | Together, **more: Any) -> Page:
    return Page(Procedure("lb.setup", "do it", steps), **more)


def sections(*steps: Step | Together) -> list[str]:
    text = pages_page.text(fakes.example(), page(*steps))
    return re.split(r"(?m)^### ", text.partition("## Steps")[2])[1:]


def step(name: str, words: str, number: int = 0, **more: Any) -> Step:
    return Step(name, fakes.master(number) if number else None, by_hand=by_hand("plain", words), **more)


@pytest.mark.usefixtures("plain")
def test_steps_are_numbered_as_the_tool_numbers_them():
    together = Together((step("b", "same", 1), step("b", "same", 2), step("b", "other", 3)))
    heads = [section.splitlines()[0] for section in sections(step("a", "x"), together, step("c", "y", 1))]
    assert heads == ["1. a", "2-3. master1, master2: b", "4. master3: b", "5. master1: c"]


@pytest.mark.usefixtures("plain")
def test_numbers_follow_the_tool_when_alike_steps_do_not_stand_side_by_side():
    together = Together((step("b", "same", 1), step("c", "else", 2), step("b", "same", 3)))
    heads = [section.splitlines()[0] for section in sections(together)]
    assert heads == ["1, 3. master1, master3: b", "2. master2: c"]


@pytest.mark.usefixtures("plain")
def test_steps_that_differ_by_their_host_only_are_said_once():
    together = Together(tuple(step("b", f"ping {fakes.master(n).address}; ask master{n}, not db-master{n}", n) for n in (1, 2)))
    first, second = sections(together)
    assert "ping 10.1.1.101; ask master1, not db-master1" in first  # db-master1 is somebody else's name, and differs
    assert "ping 10.1.1.102; ask master2, not db-master2" in second
    (said,) = sections(Together(tuple(step("b", f"ping {fakes.master(n).address} from master{n}.", n) for n in (1, 2))))
    assert "master1, master2: b" in said
    assert "ping ADDRESS from HOST." in said


@pytest.mark.usefixtures("plain")
def test_a_gate_is_told_from_a_wait_and_a_change():
    gate, wait, change = sections(
        step("gate", "look", check=lambda _: None),
        step("wait", "look", done=lambda _: True, within=30),
        step("change", "do.\n\n**Done when** it is.", done=lambda _: True, do=lambda _: None),
    )
    assert "**Gate.**" in gate
    assert "**Wait**, up to 30 s" in wait
    assert "**Gate.**" not in change
    assert "**Wait**" not in change
    assert "do.\n\n**Done when** it is." in change


@pytest.mark.usefixtures("plain")
def test_a_page_says_for_which_case_it_is():
    text = pages_page.text(
        fakes.example(), page(step("a", "x"), flags="--to lb2", given="lb1 burns", variant="fire", first=by_hand("plain", "Run."))
    )
    assert "`inv lb.setup --to lb2`" in text
    assert "for this case: lb1 burns." in text
    assert "\n\nRun.\n\n" in text
    assert page(step("a", "x"), variant="fire").name == "lb.setup.fire.md"


def test_a_command_that_is_not_there_is_a_mistake():
    with pytest.raises(LookupError, match=r"lb\.nothing"):
        pages_page.purpose("lb.nothing")


# ---- the command


@pytest.fixture
def opened(tmp_path, monkeypatch) -> Session:
    """A session on a copy of the example site."""
    (tmp_path / "hosts.yaml").write_text((fakes.ROOT / "hosts.yaml").read_text())
    monkeypatch.setenv("RUNBOOKS_SITE", str(tmp_path / "hosts.yaml"))
    return Session(Options())


def test_another_site_is_not_written_into_docs(opened):
    with pytest.raises(InventoryError, match=r"docs/runbooks") as raised:
        write.show(opened, "", check=False)
    assert raised.value.hint == "--to DIR"


def test_pages_are_written_and_compared(opened, tmp_path, capsys):
    to = tmp_path / "pages"
    with pytest.raises(OutcomeError, match=r"out of date"):
        write.show(opened, str(to), check=True)
    assert not to.exists()
    write.show(opened, str(to), check=False)
    write.show(opened, str(to), check=True)
    assert capsys.readouterr().out.endswith("pages and files, none out of date\n")
    (to / "lb.setup.md").write_text("old")
    (to / "lb.gone.md").write_text("older")
    (to / "lb.failover.md").unlink()
    with pytest.raises(OutcomeError) as raised:
        write.show(opened, str(to), check=True)
    assert raised.value.hint == f"inv site.pages --to {to}"
    assert write.stale(everything(fakes.example()), to) == {
        "lb.failover.md": "missing",
        "lb.gone.md": "not wanted",
        "lb.setup.md": "differs",
    }
