"""Clients of load balancers that ask all the time while a command runs, and the proof that none of them noticed it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tests.support.operator import Operator, keepalived_says

LBS = ("lb1", "lb2")
# Asks, one after the other, until it is told that it was enough. Words: NAME,ADDRESS,PORT,ANSWERS; "tls" asks an API server for its health, and
# without answers it only connects.
WATCH = r"""
declare -A tried=() failed=()
ask() { timeout 5 bash -c "exec 3<>/dev/tcp/$1/$2 && printf 'GET / HTTP/1.0\r\n\r\n' >&3 && tail -n 1 <&3" 2>/dev/null; }
until [ -e /run/enough ]; do
    for each in "$@"; do
        IFS=, read -r name address port answers <<<"$each"
        tried[$name]=$((tried[$name] + 1))
        case $answers in
            '') timeout 5 bash -c "exec 3<>/dev/tcp/$address/$port" 2>/dev/null ;;
            tls) [ "$(curl -sk --max-time 5 "https://$address:$port/healthz")" = ok ] ;;
            *) [[ $(ask "$address" "$port") =~ ^($answers)$ ]] ;;
        esac || failed[$name]=$((failed[$name] + 1))
    done
    sleep 0.02
done
for each in "${!tried[@]}"; do echo "$each ${tried[$each]} ${failed[$each]:-0}"; done
"""
# On an LB: each change of whether eth0 or lo has the VIP, with the time.
HELD = """
was=
until [ -e /run/enough ]; do
    now=no
    [ -z "$(ip -4 -o address show to 10.1.1.100)" ] || now=yes
    [ "$now" = "$was" ] || echo "$EPOCHREALTIME $now"
    was=$now
    sleep 0.01
done
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a client asks. ``answers``: the last lines that may come, with | between; "tls": an API server's health; "": it only connects.

    moves  its address goes to the other LB and back: of both times the one request that is under way in that moment may fail, as in any failover.
    """

    name: str
    address: str
    port: int
    answers: str = ""
    moves: bool = False

    def __str__(self) -> str:
        return f"{self.name},{self.address},{self.port},{self.answers}"


API = Asked("api", "10.1.1.100", 6443)
HEALTH = Asked("api", "10.1.1.100", 6443, "tls")


def unnoticed(operator: Operator, asked: Sequence[Asked], *words: str, client: str = "worker1", stays: bool = True) -> str:
    """Run a command while ``client`` asks: nothing fails. With ``stays``, lb1 has the VIP all the time and lb2 never. Return what it printed."""
    lab, everyone = operator.lab, (client, *LBS)
    for host in everyone:
        lab.console(host, ["rm", "-f", "/run/enough"], check=True)
    watching = ["bash", "-c", WATCH, "watch", *map(str, asked)], *([["bash", "-c", HELD]] * 2)
    with ThreadPoolExecutor(3) as pool:
        watches = [
            pool.submit(lab.console, host, command, timeout_s=600) for host, command in zip(everyone, watching, strict=True)
        ]
        try:
            said = operator.good(*words)
        finally:
            for host in everyone:
                lab.console(host, ["touch", "/run/enough"], check=True)
        seen, *held = [watch.result().stdout for watch in watches]
    print(f"{' '.join(words)}: {seen}", flush=True)
    counts = {name: (int(tried), int(failed)) for name, tried, failed in map(str.split, seen.splitlines())}
    assert counts.keys() == {each.name for each in asked}, seen
    assert all(tried > 10 for tried, _ in counts.values()), seen
    under_way = {each.name: 2 if each.moves else 0 for each in asked}
    failed = [name for name, (_, failed) in counts.items() if failed > under_way[name]]
    moved = stays and [one.split()[1::2] for one in held] != [["yes"], ["no"]]
    wrong = [*failed, *(["the VIP moved"] if moved else [])]
    assert not wrong, "\n".join([f"{wrong}: {seen}", *held, said, *keepalived_says(lab)])
    return said
