"""A site file that is written reads back to the same values, and looks like one that a person has written."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from runbooks.inventory import source
from runbooks.inventory.convert import convert
from runbooks.inventory.load import load_site, loaded
from runbooks.inventory.model import Site
from runbooks.inventory.problems import SiteError
from runbooks.inventory.written import Noted, written

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[3]
GOOD = Path(__file__).parent / "good.yaml"


def tree(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text())


def read(text: str) -> Site:
    draft, site = convert(source.parse(source.decoded(text.encode())))
    assert draft.findings == []
    assert site
    return site


def problems(text: str) -> list[tuple[int, str]]:
    with pytest.raises(SiteError) as caught:
        loaded(source.parse(text), Path("hosts.yaml"))
    return [(each.line, each.key) for each in caught.value.problems]


@pytest.mark.parametrize("path", [GOOD, ROOT / "hosts.yaml"])
def test_a_file_and_a_site_are_written_and_read_again(path, tmp_path):
    before = load_site(path).site
    for number, text in enumerate((written(tree(path)), written(before))):
        again = tmp_path / path.parent.name / f"{number}.yaml"
        again.parent.mkdir(exist_ok=True)
        again.write_text(text)
        assert read(text).hosts == before.hosts
        assert load_site(again).site.kubernetes == before.kubernetes
    assert read(written(read(written(tree(path))))) == read(path.read_text())


def test_the_looks_of_a_site_file():
    given = {
        "hosts": [
            {"roles": ["lb"], "name": "lb1", "address": ip_address("10.1.1.11"), "priority": Noted(254, "guessed: the order")},
            {"name": "master1", "address": "10.1.1.101", "roles": ["control-plane"], "weight": 100, "ssh": {"port": 2222}},
        ],
        "name": "shop",
        "endpoint": {"port": 6443, "vip": Noted(None, "not known: the file does not say it")},
        "networks": {"management": Noted("10.1.1.0/24", "guessed: from the hosts"), "pods": "10.244.0.0/16"},
        "kubernetes": {"version": "1.30.0", "etcd": Noted("stacked", "guessed"), "audit": {"max_backups": 3}},
        "ssh": {"user": "ops", "gateway": [{"address": "bastion.example"}, {"address": "fd00::9", "port": 22}]},
        "unheard_of": {"a": 1},
    }
    assert (
        written(given, ["The site."])
        == """\
# The site.

name: shop

endpoint:
  vip:                          # not known: the file does not say it

networks:
  management: 10.1.1.0/24       # guessed: from the hosts
  pods: 10.244.0.0/16

kubernetes:
  version: "1.30.0"
  etcd: stacked                 # guessed

ssh:
  user: ops
  gateway:
    - {address: bastion.example}
    - {address: fd00::9}

hosts:
  - {name: lb1,     address: 10.1.1.11,  roles: [lb], priority: 254} # priority: guessed: the order
  - {name: master1, address: 10.1.1.101, roles: [control-plane], ssh: {port: 2222}}

unheard_of:
  a: 1
"""
    )


def test_what_is_not_known_is_named_with_its_line():
    site = tree(GOOD)
    site["endpoint"]["vip"] = site["load_balancer"]["vrrp"]["id"] = Noted(None, "not known")
    text = written(site)
    lines = text.splitlines()
    assert problems(text) == [
        (lines.index("  vip:                          # not known") + 1, "endpoint.vip"),
        (lines.index("    id:                         # not known") + 1, "load_balancer.vrrp.id"),
    ]


def test_a_gateway_for_nobody_stays():
    site = tree(GOOD)
    site["ssh"]["gateway"] = {"address": "10.9.9.9"}
    site["hosts"][0]["ssh"] = {"gateway": []}
    assert read(written(site)).hosts[0].ssh.gateway == ()


def test_a_comment_from_elsewhere_cannot_end_its_line():
    site = tree(GOOD)
    site["name"] = Noted("site", "guessed: \x1b[2J\nhosts: []\u2028name: x\x85y")
    site["networks"]["pods"] = Noted("10.244.0.0/16", f"guessed: {'very ' * 40}long")
    text = written(site)
    assert read(text) == read(GOOD.read_text())
    assert text.replace("\n", "").isprintable()
    assert text.splitlines()[0] == "name: site                      # guessed: ?[2J hosts: [] name: x y"


TEXTS = st.text(max_size=30) | st.sampled_from(
    ["yes", "~", "1.30", "010", "1e3", "0x10", "12:30:45", "2026-01-07", "a: b", "a #b", "- a", "[a]", "{a}", "&a", "*a", "!x",
     "<<", "=", "a:", ":a", "'", '"', "\\", "\t", "a\nb\n", "\x00\x85\u2028\ufeff\U0001f600", "null", "::1", "1:2", ""]
)  # fmt: skip
NUMBERS = st.integers(-(10**17), 10**17) | st.floats(-1e15, 1e15).map(lambda number: round(number, 3))
FREE = st.recursive(
    TEXTS | NUMBERS | st.booleans(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3)
)


@settings(max_examples=60, deadline=None)
@given(
    kubelet=st.dictionaries(TEXTS, FREE, max_size=3),
    flags=st.dictionaries(TEXTS, TEXTS, max_size=3),
    labels=st.dictionaries(TEXTS, TEXTS, max_size=3),
    notes=st.lists(st.text(max_size=40), min_size=3, max_size=3),
)
def test_any_values_read_back(kubelet, flags, labels, notes):
    site = tree(GOOD)
    site["kubernetes"]["kubelet"] = Noted(kubelet, notes[0])
    site["kubernetes"]["extra_args"] = {"etcd": {key: Noted(each, notes[1]) for key, each in flags.items()}}
    site["hosts"][0]["labels"] = labels
    site["hosts"][1] = Noted({**site["hosts"][1], "kubelet": kubelet}, notes[2])
    found = read(written(site, notes))
    assert found.kubernetes.kubelet == kubelet
    assert found.kubernetes.extra_args.etcd == flags
    assert (found.hosts[0].labels, found.hosts[1].kubelet) == (labels, kubelet)
    assert read(written(found)) == found
