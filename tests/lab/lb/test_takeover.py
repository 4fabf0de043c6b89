"""Load balancers that others have set up, with a shop of theirs beside the API: taken over, and given back, while clients watch.

The tests depend on one another, in the order of this file.
"""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from lab.control import Lab
from runbooks.commands.haproxy_environment import Environment
from runbooks.commands.haproxy_sections import sections
from tests.support import unnoticed
from tests.support.foreign_lb import CFG, CONF, LBS, SHOP_VIP, as_the_document, as_the_guide, write
from tests.support.operator import REFUSES, Operator, holders, sh, vip_on
from tests.support.waiting import eventually

pytestmark = pytest.mark.lab

ASKED = (unnoticed.API, unnoticed.Asked("shop", "10.1.1.100", 8443, "the shop is (open|shut)"))


@pytest.fixture(scope="module")
def operator(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """An operator whose LBs are as somebody else has set them up. They are reset afterwards."""
    made = Operator(lab, tmp_path_factory.mktemp("takeover"))
    lab.on(*LBS)
    lab.heal(*LBS)
    lab.reset(*LBS)
    as_the_document(lab)
    vip_on(lab, "lb1")
    eventually(lambda: holders(lab, SHOP_VIP), ["lb2"])
    yield made
    lab.reset(*LBS)


def as_they_are(operator: Operator) -> dict[str, str]:
    look = f"cat {CFG} {CONF}; find /var/lib/ha-runbooks /etc/systemd/system -name '*ha-runbooks*' 2>/dev/null; pgrep -n -x haproxy; pgrep -o -x keepalived"
    return {host: sh(operator, host, look) for host in LBS}


def test_without_the_flag_nothing_is_touched(operator: Operator) -> None:
    before = as_they_are(operator)
    done = operator.inv("lb.setup")
    assert done.returncode == REFUSES, done.stdout + done.stderr
    for host in LBS:
        assert (
            f"{host}: {CFG} is not from lb.setup; it serves stats (*:9000), k8s-api (10.1.1.100:6443), shop (*:8443)"
            in done.stderr
        )
        assert f"{host}: stays as it is: shop (*:8443), the VRRP instance shop" in done.stderr
        assert (
            f"{host}: is replaced by lb.setup's own: frontend stats, frontend k8s-api, backend k8s-api-backend, vrrp_instance VI_1"
            in done.stderr
        )
    assert "inv lb.setup --take-over" in done.stderr
    assert as_they_are(operator) == before


def test_what_would_meet_ours_is_refused_with_the_way_out(operator: Operator) -> None:
    lab = operator.lab
    before = as_they_are(operator)
    for old, new, path, said in (
        ("bind *:8443", "bind *:8405", CFG, "frontend shop listens on 10.1.1.12:8405, as metrics of lb.setup will (load_balancer.metrics_port)"),
        ("bind *:8443", "bond *:8443", CFG, "haproxy refuses already the configuration that is there now"),
        ("virtual_router_id 77", "virtual_router_id 51", CONF, "shop has the virtual_router_id 51 on eth0, and so has load_balancer.vrrp.id"),
    ):  # fmt: skip
        there = sh(operator, "lb2", f"cat {path}")
        write(lab, "lb2", path, there.replace(old, new))
        done = operator.inv("lb.setup", "--take-over")
        assert done.returncode == REFUSES, done.stdout + done.stderr
        assert said in done.stderr, done.stderr
        write(lab, "lb2", path, there)
    assert as_they_are(operator) == before


# How HAProxy itself reads variables: each line listens at another port.
VARIABLES = """\
global
    presetenv GIVEN 127.0.0.9
    presetenv MADE 127.0.0.3
    setenv BOTH "${MADE}:7003"
    setenv MARKS '$GIVEN'
    unsetenv GONE
defaults
    mode tcp
    timeout client 1s
frontend "$NAME"
    bind "${GIVEN}:7001"
    bind "$GIVEN:7002"
    bind "$BOTH"
    bind "${GONE-127.0.0.4}:7004"
    bind "${GIVEN-127.0.0.4}:7005"
    bind ${GIVEN}:7006
    bind $GIVEN:$PORT
    bind "127.0.0.5":7008,"$GIVEN:7009"
    bind "127.0.0.6:7010" # "$GIVEN:7011"
"""


def test_addresses_in_variables_are_read_as_haproxy_reads_them(operator: Operator) -> None:
    given = {"GIVEN": "127.0.0.2", "GONE": "127.0.0.7", "PORT": "7007", "NAME": "by-variables"}
    write(operator.lab, "lb2", "/root/variables.cfg", VARIABLES)
    words = " ".join(f"{name}={value}" for name, value in given.items())
    run = f"env {words} haproxy"
    sh(operator, "lb2", f"{run} -c -f /root/variables.cfg && {run} -D -p /root/variables.pid -f /root/variables.cfg")
    listens = sh(
        operator, "lb2", "ss -Hltn '( sport >= :7001 and sport <= :7011 )' | awk '{print $4}'; kill $(cat /root/variables.pid)"
    )
    known = Environment({**given, "MADE": None})
    (front,) = (each for each in sections(VARIABLES, environment=known) if each.kind == "frontend")
    assert sorted(map(str, front.binds)) == sorted(set(listens.split()))
    assert len(front.binds) == 10
    assert front.name == given["NAME"]


def test_a_variable_of_the_environment_file_hides_no_front_end(operator: Operator) -> None:
    """What is refused says the address; the file itself is not touched."""
    there, default = sh(operator, "lb2", f"cat {CFG}"), "/etc/default/haproxy"
    sh(operator, "lb2", f"cp {default} /root/default; printf 'SHOP=10.1.1.12\\nTOKEN=hush\\n' >>{default}")
    write(operator.lab, "lb2", CFG, there.replace("bind *:8443", 'bind "${SHOP}:8405"'))
    try:
        sh(operator, "lb2", "systemctl restart haproxy")
        done = operator.inv("lb.setup", "--take-over")
        assert done.returncode == REFUSES, done.stdout + done.stderr
        assert "frontend shop listens on 10.1.1.12:8405, as metrics of lb.setup will" in done.stderr, done.stderr
        assert "hush" not in done.stdout + done.stderr
    finally:
        write(operator.lab, "lb2", CFG, there)
        sh(operator, "lb2", f"mv /root/default {default}; systemctl restart haproxy")


def test_the_plan_shows_what_would_come(operator: Operator) -> None:
    before = as_they_are(operator)
    planned = operator.good("lb.setup", "--take-over", "--plan", "--diff")
    assert "lb2: stand aside while the other LB changes  [would change" in planned
    assert re.search(r"\| -frontend k8s-api\n", planned)
    assert re.search(r"\| \+# ---- end of kept sections\n", planned)
    assert not re.search(r"\| [-+]frontend shop\n", planned)  # it stays
    assert "mypasswo" not in planned
    assert "$5$salt" not in planned
    assert as_they_are(operator) == before


def test_the_pair_is_taken_over_and_nobody_notices(operator: Operator) -> None:
    unnoticed.unnoticed(operator, ASKED, "lb.setup", "--take-over")
    operator.idle("lb.setup")
    vip_on(operator.lab, "lb1")
    eventually(lambda: holders(operator.lab, SHOP_VIP), ["lb2"])  # it is back where it was
    told = json.loads(operator.well("lb.status", "--json"))["lbs"]
    assert {host: told[host]["kept"] for host in LBS} == {host: ["shop (*:8443)", "the VRRP instance shop"] for host in LBS}
    for host in LBS:
        assert sh(operator, host, f"stat -c %a {CFG} {CONF}") == "600\n600\n"
        assert "user bob password $5$salt$hash" in sh(operator, host, f"cat {CFG}")


@pytest.mark.long
def test_an_lb_that_goes_loses_both_addresses(operator: Operator) -> None:
    lab = operator.lab
    lab.console("lb2", ["systemctl", "stop", "keepalived"], check=True)
    eventually(lambda: (holders(lab), holders(lab, SHOP_VIP)), (["lb1"], ["lb1"]))
    lab.console("lb2", ["systemctl", "start", "keepalived"], check=True)
    eventually(lambda: (holders(lab), holders(lab, SHOP_VIP)), (["lb1"], ["lb2"]))


def test_what_the_owner_changes_there_is_loaded_and_what_meets_ours_refused(operator: Operator) -> None:
    for host in LBS:
        sh(operator, host, f"sed -i 's/is open/is shut/' {CFG}")
    operator.good("lb.setup")
    operator.idle("lb.setup")
    get = "exec 3<>/dev/tcp/10.1.1.100/8443 && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && tail -n 1 <&3"
    assert operator.lab.console("worker1", ["timeout", "3", "bash", "-c", get]).stdout.strip() == "the shop is shut"
    # keepalived would only be reloaded with what its owner has broken.
    for wrong, right in (("priorty", "priority"), ("# gone", "# ---- end of kept vrrp")):
        there = sh(operator, "lb2", f"cat {CONF}")
        write(operator.lab, "lb2", CONF, wrong.join(there.rsplit(right, 1)), "600")
        before = as_they_are(operator)
        done = operator.inv("lb.setup")
        assert done.returncode == REFUSES, done.stdout + done.stderr
        assert f"{CONF}: Line" in done.stderr or f"{CONF}: the lines `# ---- kept ...`" in done.stderr
        assert as_they_are(operator) == before
        write(operator.lab, "lb2", CONF, there, "600")
    operator.edit(lambda site: site["load_balancer"].update(stats_port=8443))
    done = operator.inv("lb.setup")
    assert done.returncode == REFUSES
    assert f"lb1: {CFG}: frontend shop listens on *:8443, where stats of lb.setup does (load_balancer.stats_port)" in done.stderr
    operator.edit(lambda site: site["load_balancer"].update(stats_port=9000))


def on_one_at_most(operator: Operator, *words: str) -> str:
    """Run a command: the shop's address is never on both LBs while it runs. Return what it printed.

    Where the address goes back to an LB with a higher priority in the end, VRRP itself has it on both for some milliseconds.
    """
    held = unnoticed.HELD.replace("10.1.1.100", SHOP_VIP)
    for host in LBS:
        operator.lab.console(host, ["rm", "-f", "/run/enough"], check=True)
    with ThreadPoolExecutor(2) as pool:
        watches = [pool.submit(operator.lab.console, host, ["bash", "-c", held], timeout_s=600) for host in LBS]
        try:
            said = operator.good(*words)
        finally:
            for host in LBS:
                operator.lab.console(host, ["touch", "/run/enough"], check=True)
        seen = [each.result().stdout for each in watches]
    changes = sorted(
        (float(at), number, now) for number, text in enumerate(seen) for at, now in map(str.split, text.splitlines())
    )
    there: set[int] = set()
    for _, number, now in changes:
        there = there | {number} if now == "yes" else there - {number}
        assert len(there) < 2, f"{seen}{said}"
    print(f"the shop's address: {seen}")
    return said


def moved(site: dict[str, Any]) -> None:
    site["load_balancer"]["vips"] = [{"name": "shop", "address": SHOP_VIP, "vrrp_id": 77}]


def test_an_address_of_theirs_becomes_one_of_ours_and_is_never_on_two(operator: Operator) -> None:
    operator.edit(moved)
    before = as_they_are(operator)
    done = operator.inv("lb.setup")
    assert done.returncode == REFUSES, done.stdout + done.stderr
    for host in LBS:
        assert f"{host}: in the part of {CONF} that is not from lb.setup the VRRP instance shop has {SHOP_VIP}" in done.stderr
        assert f"{host}: is replaced by lb.setup's own: vrrp_instance shop" in done.stderr
    assert "inv lb.setup --take-over" in done.stderr
    assert as_they_are(operator) == before
    assert "lb2: stand aside while the other LB changes" in on_one_at_most(operator, "lb.setup", "--take-over")
    operator.idle("lb.setup")
    for address in ("10.1.1.100", SHOP_VIP):
        assert holders(operator.lab, address) == ["lb1"]
    for host in LBS:
        assert "vrrp_instance shop " not in sh(operator, host, f"cat {CONF}")
    assert "lb2: stand aside while the other LB changes" in operator.good("lb.rollback")
    operator.edit(lambda site: site["load_balancer"].pop("vips"))
    operator.idle("lb.setup")
    eventually(lambda: holders(operator.lab, SHOP_VIP), ["lb2"])


@pytest.mark.long
def test_also_where_its_lines_were_deleted_before(operator: Operator) -> None:
    operator.edit(moved)
    for host in LBS:
        sh(operator, host, f"sed -i '/^vrrp_instance shop /,/^}}/d' {CONF}")
        assert "vrrp_instance shop " not in sh(operator, host, f"cat {CONF}")
    assert "lb2: stand aside while the other LB changes" in on_one_at_most(operator, "lb.setup")
    assert holders(operator.lab, SHOP_VIP) == ["lb1"]
    operator.edit(lambda site: site["load_balancer"].pop("vips"))
    operator.good("lb.rollback", "--original")
    operator.good("lb.setup", "--take-over")
    eventually(lambda: holders(operator.lab, SHOP_VIP), ["lb2"])


@pytest.mark.long
def test_it_is_given_back_and_nobody_notices(operator: Operator) -> None:
    unnoticed.unnoticed(operator, ASKED, "lb.rollback", "--original")
    for host in LBS:
        assert "frontend k8s-api" in sh(operator, host, f"cat {CFG}")
        assert sh(operator, host, "systemctl is-enabled keepalived; systemctl is-active keepalived") == "enabled\nactive\n"
    eventually(lambda: holders(operator.lab, SHOP_VIP), ["lb2"])
    vip_on(operator.lab, "lb1")


@pytest.mark.long
@pytest.mark.parametrize("number", [1, 3, 4, 6, 7])
def test_killed_and_run_again(operator: Operator, number: int) -> None:
    """The VIP is on the LB that had it, and the next run brings the take-over to its end."""
    operator.admitted("lb.rollback", "--original")
    vip_on(operator.lab, "lb1")
    operator.strike(number, signal.SIGKILL, "lb.setup", "--take-over")
    vip_on(operator.lab, "lb1")
    # Where both have our keepalived already, the VIP may move for a moment on a machine that is busy.
    unnoticed.unnoticed(operator, ASKED, "lb.setup", "--take-over", stays=False)
    operator.idle("lb.setup")
    vip_on(operator.lab, "lb1")


@pytest.mark.long
def test_the_guide_with_files_beside(operator: Operator) -> None:
    lab = operator.lab
    lab.reset(*LBS)
    as_the_guide(lab)
    vip_on(lab, "lb1")
    done = operator.inv("lb.setup")
    assert done.returncode == REFUSES
    assert "HAProxy also reads /etc/haproxy/conf.d/shop.cfg, which is not from lb.setup; it serves shop (*:8443)" in done.stderr
    unnoticed.unnoticed(operator, ASKED, "lb.setup", "--take-over")
    operator.idle("lb.setup")
    eventually(lambda: holders(lab, SHOP_VIP), ["lb2"])
    told = json.loads(operator.well("lb.status", "--json"))["lbs"]
    assert told["lb1"]["kept"] == ["include conf.d/*.conf"]
    unnoticed.unnoticed(operator, ASKED, "lb.rollback", "--original")
    eventually(lambda: holders(lab, SHOP_VIP), ["lb2"])
