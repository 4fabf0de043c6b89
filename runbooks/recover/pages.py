"""The pages of recovery: one page for each thing that may have happened."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Final

from runbooks.certs.pages import KUBECONFIG, renew
from runbooks.certs.steps import Renewal
from runbooks.commands.etcd_restore import NewMember
from runbooks.engine.by_hand import by_hand
from runbooks.inventory.model import Site
from runbooks.inventory.words import literal
from runbooks.lb.pages import wanted
from runbooks.pages.examples import MADE, second
from runbooks.pages.page import Page
from runbooks.recover import certs as recover_certs
from runbooks.recover import control_plane as recover_control_plane
from runbooks.recover import lb as recover_lb
from runbooks.recover.member import procedure
from runbooks.recover.member.steps import RepairContext
from runbooks.recover.quorum import steps as quorum_steps
from runbooks.recover.quorum.context import RestoreContext
from runbooks.recover.quorum.source import Snapshots
from runbooks.recover.rules.restore import Restore, Source
from runbooks.recover.vip import steps
from runbooks.rules.etcd_member import Diagnosis, Repair
from runbooks.text import listed

STAMP = f"{MADE:%Y%m%dT%H%M%SZ}"


def etcd_member(site: Site, repair: Repair) -> Page:
    """One repair of a member."""
    host = second(site)
    made = procedure.procedure(RepairContext(site, host, STAMP, corrupt=repair == Repair.REJOIN), Diagnosis(repair, repair.value))
    return Page(made, f"--member {host}", repair.value, repair.name.lower(), by_hand("recover", "before_member"))


def restoring(site: Site, *, survivor: bool) -> RestoreContext:
    """Return a restore from a set onto all hosts that lost their data; or from the last host that is left."""
    hosts = site.control_plane[:1] if survivor else site.control_plane
    source = (
        Source(kind="member", name=hosts[0].name, revision=900, size=1 << 20)
        if survivor
        else Source(kind="set", name=STAMP, revision=900, size=1 << 20, part=f"etcd/{hosts[0]}.db")
    )
    plan = Restore(
        token="restore-TOKEN",  # noqa: S106 - etcd's word for a cluster's name
        started=STAMP,
        source=source,
        members={host.name: NewMember(host.name, f"https://{literal(host.address)}:2380") for host in hosts},
        left={host.name: "no answer" for host in site.control_plane if host not in hosts},
        nodes=tuple(host.name for host in site.workers),
        before=900,
    )
    return RestoreContext(site, plan, Snapshots(site), Path("snapshot.db"))


def quorum(site: Site, *, survivor: bool) -> Page:
    """The majority is lost: a restore from a set, or from a survivor."""
    ctx = restoring(site, survivor=survivor)
    made, first = quorum_steps.procedure(ctx), ctx.members[0]
    if survivor:
        others = f"{listed(ctx.plan.left)} are gone for good" if ctx.plan.left else "the cluster that its manifest names is lost"
        return Page(
            made,
            f"--from-member {first}",
            f"only {first} is left, with its data; {others}",
            "survivor",
            by_hand("recover", "before_quorum"),
        )
    return Page(
        made,
        f"--backup {STAMP}",
        "every control plane host is there, and a majority has lost its data",
        "set",
        by_hand("recover", "before_quorum"),
    )


def control_plane(site: Site) -> Page:
    """Every control plane host is an empty machine. A restore of etcd follows."""
    hosts = site.control_plane
    archives = {host: recover_control_plane.Archive(f"hosts/{host}.tar.gz", 1 << 20, "") for host in hosts}
    ctx = recover_control_plane.PutBackContext(site, Snapshots(site), STAMP, archives)
    made = recover_control_plane.procedure(ctx, hosts)
    return Page(made, f"--backup {STAMP}", "every control plane host is an empty machine of the old name and address")


def node(site: Site) -> Page:
    """A control plane host was replaced by an empty machine."""
    host = second(site)
    return Page(
        procedure.replacement(site, host),
        f"--host {host}",
        f"{host} is an empty machine of the same name and address",
        first=by_hand("recover", "before_replacement"),
    )


def vip(site: Site) -> Page:
    """Both LBs answer."""
    observer = next((host for host in site.hosts if not host.is_lb), None)
    return Page(steps.procedure(site, wanted(site), observer), given="the VIP is on no LB, or on two; both LBs answer")


def lb(site: Site) -> Page:
    """The LB with the higher priority was replaced by an empty machine."""
    host = site.load_balancers[0]
    return Page(
        recover_lb.procedure(site, wanted(site), host),
        f"--host {host}",
        f"{host} is an empty machine of the same name and address, and {site.load_balancers[-1]} serves",
    )


def certs(site: Site) -> Page:
    """All certificates have expired, and no API server answers."""
    hosts = site.nodes
    made = recover_certs.procedure(Renewal(site, {}, allow_outage=True), hosts, KUBECONFIG, at_once=True)
    return Page(made, given="all have ended, and no API server answers")


CASES: Final = tuple(partial(etcd_member, repair=repair) for repair in Repair if repair != Repair.WELL)
QUORUM: Final = (partial(quorum, survivor=False), partial(quorum, survivor=True))
RECOVER: Final = (*CASES, *QUORUM, control_plane, node, renew, certs, vip, lb)
