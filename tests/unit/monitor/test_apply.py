"""What `inv monitor.apply` decides, builds and writes; its scripts on this machine's loopback, with a systemctl that only writes down."""

from __future__ import annotations

import base64
import json
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runbooks.commands import monitor
from runbooks.commands.base import Answer, Command, Probe, Secret
from runbooks.commands.firewall import Openings
from runbooks.commands.lb_paths import NOTIFY
from runbooks.commands.monitor import Account, Exported, Seen, Unit
from runbooks.engine.steps import Together
from runbooks.errors import NotServing, PrecheckError
from runbooks.inventory.model import Host
from runbooks.monitor import prometheus_host
from runbooks.monitor.apply import apply_procedure, objects, remove_procedure
from runbooks.monitor.cluster_steps import can_be_set_up
from runbooks.monitor.prometheus_host import left_to_do, written
from runbooks.monitor.rules import hosts as rules
from runbooks.monitor.rules.scope import Scope
from tests.support import ROOT
from tests.support.facts import EMPTY_NODE
from tests.support.fakes import bash, lb, master
from tests.unit.monitor.conftest import site

pytestmark = pytest.mark.unit

HERE = "127.0.0.1"
TOKEN = "eyJ.a-token"
RUNS = Unit("active", "enabled", stale=False)
ALL = (*monitor.PROXY_UNITS, *monitor.CERTS_UNITS)
WELL = Seen(
    manager="apt-get",
    packages={"haproxy": "2.6.12-1", "prometheus-node-exporter": "1.5.0-1"},
    units=dict.fromkeys(ALL, RUNS),
    distribution="disabled",
    unproved=False,
    directory=True,
    link=monitor.LB_TEXTFILE,
    untold=False,
    hook=True,
)
SERVES = Exported(answers=True, textfiles="0", series=frozenset({rules.CERTIFICATES, rules.KEEPALIVED}))


def worker() -> Host:
    return site().workers[0]


# ---- rules


def test_each_role_runs_what_it_needs(scope):
    assert rules.units(scope, master(1)) == ALL
    assert rules.units(Scope(site(control_plane="bound")), master(1)) == monitor.CERTS_UNITS
    assert rules.units(scope, lb(1)) == rules.units(scope, worker()) == ()
    assert rules.series(scope, master(1)) == {rules.CERTIFICATES}
    assert rules.series(scope, lb(1)) == {rules.KEEPALIVED}
    assert rules.series(scope, worker()) == rules.series(Scope(site(jobs=("haproxy",))), lb(1)) == frozenset()


def test_the_firewall_is_opened_for_those_who_read_and_for_nobody_else():
    scope = Scope(site(scrapers=(ip_address("10.1.1.50"),)))
    rule = 'rule family="ipv4" source address="10.1.1.50" port port="{}" protocol="tcp" accept'
    assert rules.openings(scope, master(1)) == Openings(rules=(rule.format(8406), rule.format(9100)))
    assert rules.openings(scope, worker()) == Openings(rules=(rule.format(9100),))
    assert not rules.openings(Scope(site(jobs=("haproxy",))), lb(1))


@pytest.mark.parametrize(
    ("host", "seen", "reason"),
    [
        (master(1), WELL, ""),
        (master(1), replace(WELL, units=WELL.units | {monitor.PROXY_UNIT: Unit("failed", "enabled", stale=False)}), "is failed"),
        (
            master(1),
            replace(WELL, units=WELL.units | {monitor.CERTS_UNITS[0]: Unit("active", "disabled", stale=False)}),
            "is disabled, so it would not start at boot",
        ),
        (
            master(1),
            replace(WELL, units=WELL.units | {monitor.PROXY_UNIT: RUNS._replace(stale=True)}),
            "systemd has not read the new file of ha-runbooks-metrics.service",
        ),
        (master(1), replace(WELL, unproved=True), "was not reloaded"),
        (lb(1), WELL, ""),
        (lb(1), replace(WELL, link=""), "ha-runbooks-lb.prom does not lead to /run/ha-runbooks/lb.prom"),
        (lb(1), replace(WELL, untold=True), "and /run/ha-runbooks/lb.prom is not there"),
        (master(1), replace(WELL, link=""), ""),
    ],
)
def test_what_does_not_run_is_said(scope, host, seen, reason):
    assert reason in rules.not_running(scope, host, seen)
    assert bool(rules.not_running(scope, host, seen)) == bool(reason)


def test_an_interrupted_installation_of_haproxy_is_not_done():
    assert rules.haproxy_missing(WELL) == ""
    assert rules.haproxy_missing(replace(WELL, packages={})) == "HAProxy is not installed"
    assert rules.haproxy_missing(replace(WELL, distribution="masked-runtime")) == "its own service is still masked"
    assert "2.4 or newer is needed" in rules.haproxy_too_old(replace(WELL, packages={"haproxy": "1.8.27"}))
    assert rules.haproxy_too_old(replace(WELL, packages={"keepalived": "1.0"})) == ""


def test_where_nobody_would_install_node_exporter_is_said_before(scope):
    bare, silent = replace(WELL, packages={}), Exported(answers=False)
    assert rules.cannot_install(scope, worker(), bare, silent) == ""
    assert rules.cannot_install(scope, worker(), replace(bare, manager="dnf"), SERVES) == ""
    assert "and dnf has no package of it" in rules.cannot_install(scope, worker(), replace(bare, manager="dnf"), silent)
    present = Scope(site(node_exporter="present"))
    assert "(monitoring.node_exporter: present)" in rules.cannot_install(present, worker(), bare, silent)
    assert rules.cannot_install(Scope(site(jobs=("haproxy",))), worker(), replace(bare, manager="dnf"), silent) == ""


def test_nothing_is_installed_beside_something_that_has_the_port(scope):
    bare, foreign = replace(WELL, packages={}), Exported(answers=False, listens=True)
    for seen in (bare, WELL):
        said = rules.cannot_install(scope, worker(), seen, foreign)
        assert "something listens on port 9100, and does not answer" in said
    assert rules.cannot_install(scope, worker(), bare, replace(foreign, answers=True)) == ""
    assert rules.cannot_install(Scope(site(jobs=("haproxy",))), worker(), bare, foreign) == ""
    with pytest.raises(PrecheckError, match="something listens on port 9100") as raised:
        refusal(scope, BOTH, exported=foreign)
    assert "monitoring.node_exporter_port" in raised.value.hint


def test_where_files_of_ours_would_have_no_directory_is_said_before(scope):
    bare, silent = replace(WELL, packages={}, directory=False), Exported(answers=False)
    said = "there is no directory /var/lib/prometheus/node-exporter"
    assert rules.no_directory(scope, master(1), bare, silent) == ""  # the package that comes makes it
    assert rules.no_directory(scope, worker(), bare, SERVES) == ""
    assert rules.no_directory(scope, lb(1), WELL, SERVES) == ""
    for host in (master(1), lb(1)):
        assert rules.no_directory(scope, host, bare, SERVES) == f"{host}: {said}"
        assert said in rules.no_directory(scope, host, replace(bare, packages=WELL.packages), silent)
        assert said in rules.no_directory(Scope(site(node_exporter="present")), host, bare, SERVES)
        assert said in rules.no_directory(Scope(site(jobs=("haproxy",))), host, bare, silent)
    assert "no directory /srv/textfiles" in rules.no_directory(Scope(site(textfiles="/srv/textfiles")), lb(1), bare, silent)


@pytest.mark.parametrize(
    ("host", "seen", "reason"),
    [
        (master(1), SERVES, ""),
        (worker(), Exported(answers=True), ""),
        (master(1), Exported(answers=False), "no node_exporter answers at 10.1.1.101 port 9100"),
        (master(1), Exported(answers=True), "--collector.textfile.directory=/var/lib/prometheus/node-exporter"),
        (worker(), replace(SERVES, textfiles="1"), "cannot read one of the files"),
        (master(1), replace(SERVES, series=frozenset()), f"does not serve {rules.CERTIFICATES}"),
        (lb(1), replace(SERVES, series=frozenset()), "inv lb.setup"),
    ],
)
def test_what_node_exporter_does_not_serve_is_said(scope, host, seen, reason):
    assert reason in rules.not_exporting(scope, host, seen)
    assert bool(rules.not_exporting(scope, host, seen)) == bool(reason)


def test_only_a_200_is_an_answer_of_the_proxy():
    assert rules.not_answering({"etcd": "200", "kube-scheduler": "200"}, master(1).address, 8406) == ""
    said = rules.not_answering({"etcd": "503", "kube-scheduler": "403"}, master(1).address, 8406)
    assert "10.1.1.101 port 8406: /etcd/metrics: status 503, its program does not answer on this host" in said
    assert "the token may not read it" in said


# ---- answers of hosts


def test_a_look_is_read():
    text = "haproxy 2.6.12-1\n@@\nmanager apt-get\nunit a.service active enabled no\nunit b.timer inactive - yes\n"
    text += "distribution disabled\nunproved no\ndirectory yes\nuntold yes\nhook yes\nlink \n"
    seen = monitor.parse(Answer(0, text))
    assert seen.packages == {"haproxy": "2.6.12-1"}
    assert seen.units == {"a.service": RUNS, "b.timer": Unit("inactive", "-", stale=True)}
    assert (seen.manager, seen.distribution, seen.unproved, seen.directory, seen.link) == ("apt-get", "disabled", False, True, "")
    assert (seen.untold, seen.hook) == (True, True)
    with pytest.raises(ValueError, match="nothing about 'link'"):
        monitor.parse(Answer(0, text.replace("link", "lnk")))


def test_a_token_is_read_once_it_is_there_and_is_never_shown():
    def answer(data: object) -> Answer:
        return Answer(0, json.dumps({"data": data}))

    assert monitor.parse_account(Answer(0, "\n")) is None
    assert monitor.parse_account(answer(None)) is None
    encoded = {key: base64.b64encode(text.encode()).decode() for key, text in (("token", TOKEN), ("ca.crt", "PEM"))}
    found = monitor.parse_account(answer(encoded))
    assert found == Account(Secret(TOKEN), "PEM")
    assert TOKEN not in repr(found)
    command = monitor.proxied(master(1), 8406, [("etcd", False)], Secret(TOKEN)).command
    assert TOKEN not in str(command) + repr(command)


def test_the_kinds_of_the_operator_are_read():
    probe = monitor.kinds(master(1), ["prometheusrules", "servicemonitors"])
    said = "customresourcedefinition.apiextensions.k8s.io/prometheusrules.monitoring.coreos.com\n"
    assert probe.parse(Answer(0, said)) == {"prometheusrules"}


# ---- scripts


class Handler(BaseHTTPRequestHandler):
    body = b""
    heads: list[tuple[str, str]] = []  # noqa: RUF012 - the test's own

    def do_GET(self) -> None:  # the name is http.server's
        self.heads.append((self.path, self.headers.get("Authorization", "")))
        code = 403 if self.path.startswith("/kube-") and self.headers.get("Authorization") != f"Bearer {TOKEN}" else 200
        self.send_response(code)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is http.server's
        pass


@pytest.fixture
def served() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer((HERE, 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def here(host: Host) -> Host:
    import msgspec  # noqa: PLC0415 - only here

    return msgspec.structs.replace(host, address=ip_address(HERE))


def asked(probe: Probe[Any], **words: str) -> Any:
    program = probe.command.program
    for old, new in words.items():
        program = program.replace({"ca": "/etc/kubernetes/pki/ca.crt"}[old], new)
    return probe.parse(bash(program))


def test_node_exporter_is_asked_over_plain_bash(served, monkeypatch):
    lines = ['node_exporter_build_info{a="b"} 1', "node_textfile_scrape_error 0", f'{rules.KEEPALIVED}{{site="x"}} 1']
    monkeypatch.setattr(Handler, "body", ("\n".join([*lines, *lines[2:]]) + "\n").encode())
    port = served.server_address[1]
    found = asked(monitor.exported(here(lb(1)), port))
    assert found == Exported(answers=True, textfiles="0", series=frozenset({rules.KEEPALIVED}), listens=True)
    monkeypatch.setattr(Handler, "body", b"another program\n")
    assert asked(monitor.exported(here(lb(1)), port)) == Exported(answers=False, listens=True)
    served.shutdown()
    served.server_close()
    assert asked(monitor.exported(here(lb(1)), port)) == Exported(answers=False)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for this machine's loopback, signed by itself, and its key."""
    words = f"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=x -addext subjectAltName=IP:{HERE}"
    place = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "crt.pem")]
    subprocess.run(["openssl", *words.split(), *place], check=True, capture_output=True)
    return tmp_path


def test_the_proxy_is_asked_with_the_token_where_it_belongs_and_its_certificate_is_verified(certificate, monkeypatch):
    heads: list[tuple[str, str]] = []
    monkeypatch.setattr(Handler, "heads", heads)
    server = ThreadingHTTPServer((HERE, 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "crt.pem", certificate / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port, jobs = server.server_address[1], [("etcd", False), ("kube-scheduler", True)]
    try:
        ca = str(certificate / "crt.pem")
        good = asked(monitor.proxied(here(master(1)), port, jobs, Secret(TOKEN)), ca=ca)
        assert good == {"etcd": "200", "kube-scheduler": "200"}
        assert heads == [("/etcd/metrics", ""), ("/kube-scheduler/metrics", f"Bearer {TOKEN}")]
        without = asked(monitor.proxied(here(master(1)), port, jobs, Secret("")), ca=ca)
        assert without == {"etcd": "200", "kube-scheduler": "403"}
        foreign = asked(monitor.proxied(here(master(1)), port, jobs, Secret(TOKEN)), ca="/etc/ssl/certs/none.pem")
        assert not {"200", "403"} & set(foreign.values())
    finally:
        server.shutdown()
        server.server_close()
    gone = asked(monitor.proxied(here(master(1)), port, jobs[:1], Secret("")), ca=ca)
    assert not gone["etcd"].isdecimal()


SYSTEMCTL = """#!/bin/bash
echo "$*" >>"{top}/calls"
case "$*" in
*NeedDaemonReload*) cat "{top}/stale" 2>/dev/null || echo no ;;
"is-active -q "*) [ -e "{top}/active" ] ;;
"is-enabled haproxy.service") cat "{top}/enabled" 2>/dev/null || exit 1 ;;
"reload "* | "restart "*) [ ! -e "{top}/broken" ] ;;
esac
"""


@pytest.fixture
def shell(tmp_path: Path) -> Any:
    """Run a program with a systemctl that only writes down; ``calls`` are its words."""
    (tmp_path / "bin").mkdir()
    for name, text in (("systemctl", SYSTEMCTL), ("journalctl", "#!/bin/bash\necho its log\n")):
        (tmp_path / "bin" / name).write_text(text.format(top=tmp_path))
        (tmp_path / "bin" / name).chmod(0o755)

    def run(command: Command, mark: Path = tmp_path / "mark") -> Answer:
        (tmp_path / "calls").write_text("")
        return bash(f'PATH="{tmp_path}/bin:$PATH"\n' + command.program.replace(monitor.MARK, str(mark)))

    def calls() -> list[str]:
        return [line for line in (tmp_path / "calls").read_text().splitlines() if "NeedDaemonReload" not in line]

    return SimpleNamespace(run=run, calls=calls, top=tmp_path, mark=tmp_path / "mark")


def test_units_are_started_and_after_a_change_reloaded(shell):
    shell.mark.touch()
    command = monitor.run(("p.service", "c.timer"), ("c.service",))
    assert shell.run(command).exited == 0
    assert not shell.mark.exists()
    started = [call for call in shell.calls() if not call.startswith(("is-active", "reset-failed"))]
    assert started == [
        "daemon-reload",
        "enable -q p.service",
        "restart p.service",
        "enable -q c.timer",
        "restart c.timer",
        "start c.service",
    ]
    (shell.top / "active").touch()
    shell.run(command)
    assert "reload p.service" in shell.calls()
    assert "restart c.timer" in shell.calls()
    (shell.top / "stale").write_text("yes\n")
    shell.run(command)
    assert "restart p.service" in shell.calls()


def test_a_unit_that_does_not_start_keeps_the_mark_and_shows_its_log(shell):
    shell.mark.touch()
    (shell.top / "broken").touch()
    answer = shell.run(monitor.run(("p.service",)))
    assert answer.exited == monitor.NOT_STARTED
    assert "p.service does not start:\nits log" in answer.stderr
    assert shell.mark.exists()


OLD_HOOK = "#!/bin/sh\ncase $1 in state) ;; *) exit 64 ;; esac\n"
DUMB_HOOK = "#!/bin/sh\ncase $1 in state | metrics) ;; *) exit 64 ;; esac\n"  # knows `metrics`, and no site


@pytest.mark.parametrize("hook", ["now", OLD_HOOK, DUMB_HOOK, ""])
def test_on_an_lb_the_hook_writes_the_state_before_the_link_is_made(shell, hook):
    run = shell.top / "run"
    run.mkdir()
    (run / "vrrp_state").write_text("MASTER 1000\n")
    script = (ROOT / "scripts/lb/lb-hook.sh").read_text() if hook == "now" else hook
    if script:
        (shell.top / "lb-hook").write_text(script.replace("/run/ha-runbooks", str(run)))
        (shell.top / "lb-hook").chmod(0o755)
    command = monitor.run((), (), str(shell.top / "link.prom"), "ha-cluster")
    program = command.program.replace("/run/ha-runbooks", str(run)).replace(NOTIFY, str(shell.top / "lb-hook"))
    answer = shell.run(replace(command, program=program))
    if hook == "now":
        assert answer.exited == 0
        assert 'ha_runbooks_vrrp_master{site="ha-cluster"} 1' in (shell.top / "link.prom").read_text()
    else:
        assert answer.exited == monitor.OLD_HOOK
        assert "inv lb.setup first" in answer.stderr
        assert not (shell.top / "link.prom").is_symlink()


def test_haproxys_own_service_is_masked_only_while_the_package_comes(shell):
    program = monitor.install_haproxy().program
    assert program.index("mask -q --runtime") < program.rindex("apt install")
    quiet = Command(program[: program.index("# Variables: PACKAGES (array), and PATIENCE")] + "echo installed\n", "")
    assert shell.run(quiet).stdout == "installed\n"
    assert shell.calls() == [
        "is-enabled haproxy.service",
        "mask -q --runtime haproxy.service",
        "unmask -q --runtime haproxy.service",
        "disable -q haproxy.service",
    ]
    (shell.top / "enabled").write_text("enabled\n")  # somebody's own
    shell.run(quiet)
    assert shell.calls() == ["is-enabled haproxy.service"]


def test_what_is_removed_is_gone_also_a_link_that_leads_nowhere(shell):
    top = shell.top / "ha-runbooks"
    top.mkdir()
    (top / "x.cfg").touch()
    (shell.top / "link").symlink_to("/nowhere")
    paths = [str(top / "x.cfg"), str(shell.top / "link"), str(shell.top / "none")]
    assert monitor.left(paths).parse(bash(monitor.left(paths).command.program)) == tuple(paths[:2])
    assert shell.run(monitor.remove(paths)).exited == 0
    assert not top.exists()
    assert monitor.left(paths).parse(bash(monitor.left(paths).command.program)) == ()
    assert monitor.remove([f"{monitor.UNITS}/a.timer", "/x"]).program.count("UNITS=(a.timer)") == 1


# ---- procedures


def titles(procedure: Any) -> list[str]:
    """The steps' names, each once, in order."""
    names: dict[str, None] = {}
    for item in procedure.steps:
        names |= dict.fromkeys(each.name for each in (item.steps if isinstance(item, Together) else (item,)))
    return list(names)


def test_nothing_is_changed_before_the_refusals_and_everything_is_proved_in_the_end(tmp_path):
    found = titles(apply_procedure(Scope(site(form="files")), site().hosts, tmp_path))
    assert found == [
        "monitoring can be set up on these hosts",
        "install node_exporter",
        "install HAProxy, without its own service",
        "open the firewall for Prometheus (firewalld)",
        "install its files for monitoring",
        "run what its files are for",
        "apply the account that may read metrics",
        "the proxy gives the metrics of the control plane",
        "node_exporter serves our metrics",
        "write the files for the host of Prometheus, here",
    ]
    operator = titles(apply_procedure(Scope(site()), site().hosts, tmp_path))
    assert operator[6:10] == [
        "apply the account that may read metrics",
        "apply the rules (PrometheusRule)",
        "apply the targets (Service, Endpoints, ServiceMonitor)",
        "apply the dashboards (ConfigMap)",
    ]
    assert operator[-1] == "node_exporter serves our metrics"


def test_what_somebody_else_sets_up_is_left_to_them(tmp_path):
    few = titles(apply_procedure(Scope(site(node_exporter="present", control_plane="bound")), site().hosts, tmp_path))
    assert not [name for name in few if name.startswith(("install node_exporter", "install HAProxy", "the proxy"))]
    none = titles(apply_procedure(Scope(site(jobs=("haproxy",))), (lb(1),), tmp_path))
    assert none[:3] == [
        "monitoring can be set up on these hosts",
        "install its files for monitoring",
        "run what its files are for",
    ]


def test_other_files_are_another_run(tmp_path):
    one, two = (apply_procedure(Scope(site(), faster), site().hosts, tmp_path) for faster in (1, 60))
    assert one.inputs != two.inputs


def test_only_hosts_that_are_named_lose_nothing_in_the_cluster(scope):
    assert titles(remove_procedure(scope, [lb(1)], cluster=False)) == ["remove its files for monitoring"]
    assert titles(remove_procedure(scope, site().hosts, cluster=True))[-1] == "delete its objects in the cluster"
    assert list(objects(Scope(site(form="files")))) == ["account.yaml"]


# ---- steps on hosts that are made up


class Hosts:
    """Answers of hosts by the first word of the command that asks."""

    def __init__(self, **said: Any) -> None:
        self.said = said

    def read(self, host: Host, probe: Probe[Any]) -> Any:
        found = self.said[str(probe.command).replace("-", "_").split()[0]]
        return found(str(probe.command)) if callable(found) else found

    def read_all(self, probes: dict[Host, Probe[Any]]) -> dict[Host, Any]:
        return {host: self.read(host, probe) for host, probe in probes.items()}


JOINED = replace(EMPTY_NODE, files=frozenset({"kubelet.conf"}), api="ok")


def refusal(
    scope: Scope,
    kinds: frozenset[str],
    *,
    exported: Exported = SERVES,
    node: Any = JOINED,
    namespace: bool = True,
    directory: bool = True,
    hook: bool = True,
) -> Any:
    run = Hosts(
        kubectl=lambda words: kinds if " crd " in words else namespace,
        node_look=node,
        monitor_look=replace(WELL, manager="dnf", packages={}, directory=directory, hook=hook),
        exporter_look=exported,
    )
    survey = SimpleNamespace(serving=lambda _: master(1))
    check = can_be_set_up(scope, survey, site().hosts).check  # type: ignore[arg-type]
    assert check
    check(run)  # type: ignore[arg-type]
    return True


BOTH = frozenset({"prometheusrules", "servicemonitors"})


def test_what_would_fail_later_is_refused_before_anything(scope):
    assert refusal(scope, BOTH)
    assert refusal(Scope(site(form="files")), frozenset())
    with pytest.raises(PrecheckError, match="does not know the kinds prometheusrules, servicemonitors") as raised:
        refusal(scope, frozenset())
    assert "form: files" in raised.value.hint
    with pytest.raises(PrecheckError, match="no namespace monitoring"):
        refusal(scope, BOTH, namespace=False)
    with pytest.raises(PrecheckError, match="not in the cluster: master1, master2, master3") as raised:
        refusal(scope, BOTH, node=EMPTY_NODE)
    assert raised.value.hint.startswith("inv cluster.join --host master1,master2,master3")
    with pytest.raises(PrecheckError, match="node_exporter is missing:\n  lb1: no node_exporter answers at port 9100") as raised:
        refusal(scope, BOTH, exported=Exported(answers=False))
    assert "--collector.textfile.directory=/var/lib/prometheus/node-exporter" in raised.value.hint
    with pytest.raises(PrecheckError, match="lb1: there is no directory") as raised:
        refusal(scope, BOTH, directory=False)
    assert "monitoring.textfiles" in raised.value.hint
    with pytest.raises(PrecheckError, match=r"cannot be told:\n  lb1: \S+lb-hook is not there, or is from before") as hooks:
        refusal(scope, BOTH, hook=False)
    assert hooks.value.hint.startswith("inv lb.setup")
    assert "--collector.textfile.directory=" in raised.value.hint


class Here(Hosts):
    """A run whose changes on this machine are made, and written down."""

    plan = False

    def __init__(self, **said: Any) -> None:
        super().__init__(**said)
        self.told: list[str] = []

    def here(self, text: str, act: Any, diff: str = "") -> None:
        self.told += [text, diff]
        act()


def test_the_files_for_prometheus_are_written_here_and_the_token_is_private(tmp_path):
    scope, folder = Scope(site(form="files")), tmp_path / "new" / "prometheus"
    survey: Any = SimpleNamespace(serving=lambda _: master(1))
    step = written(scope, survey, folder)
    run: Any = Here(kubectl=Account(Secret(TOKEN), "PEM\n"))
    assert step.done
    assert step.do
    assert "is not as it should be" in step.done(run).seen  # type: ignore[union-attr]
    step.do(run)
    assert step.done(run) is True
    assert {path.name for path in folder.iterdir()} == {
        *prometheus_host.PLAIN,
        "dashboards",
        "ha-runbooks.token",
        "ha-runbooks-ca.crt",
    }
    assert (folder / "ha-runbooks.token").stat().st_mode & 0o777 == 0o600
    assert TOKEN not in "".join(run.told)
    assert "+groups:" in run.told[1]
    (folder / "ha-runbooks.token").chmod(0o644)
    assert "others may read" in step.done(run).seen  # type: ignore[union-attr]
    step.do(run)
    assert step.done(run) is True
    with pytest.raises(NotServing):
        step.done(Here(kubectl=None))  # type: ignore[arg-type]


def test_what_is_left_to_do_is_said_with_its_commands(tmp_path):
    said = left_to_do(
        Scope(site(form="files", prometheus="http://10.1.1.50:9090", operators=(ip_address("10.1.1.5"),))), tmp_path
    )
    assert f"    scp -pr {tmp_path} 10.1.1.50:ha-runbooks-prometheus" in said
    assert "    install -m 640 -g prometheus ha-runbooks.token /etc/prometheus/ha-runbooks.token" in said
    assert "node_exporter on 10.1.1.5" in said
    assert said.endswith("inv monitor.check")
    assert "monitoring.prometheus" in left_to_do(Scope(site(form="files")), tmp_path)
