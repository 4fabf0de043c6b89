"""kubeadm's flags for etcd, and etcd's knowledge of them, by version."""

from __future__ import annotations

from pathlib import Path

import pytest

from runbooks.commands import etcd_flags
from runbooks.commands.etcd_flags import Flags
from runbooks.rules.etcd_flags import KNOWN, NEW, OLD, cannot_run, of_image, refused, unknown, written
from tests.support.fakes import bash
from tests.support.recorded import recorded_answer

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("kubeadm", "etcd", "flags", "lacking"),
    [
        ((1, 20), (3, 4), (), ()),
        ((1, 20), (3, 5), (), ()),
        ((1, 31), (3, 5), OLD, ()),
        ((1, 31), (3, 6), OLD, ()),  # deprecated, but known
        ((1, 33), (3, 7), OLD, OLD),
        ((1, 34), (3, 5), OLD, ()),
        ((1, 34), (3, 6), NEW, ()),
        ((1, 35), (3, 5), OLD, ()),
        ((1, 35), (3, 6), NEW, ()),
        ((1, 35), (3, 7), NEW, ()),
        ((1, 36), (3, 4), NEW, NEW),
        ((1, 36), (3, 5), NEW, NEW),
        ((1, 36), (3, 6), NEW, ()),
        ((1, 37), (3, 7), NEW, ()),
    ],
)
def test_the_flags_of_each_pair(kubeadm, etcd, flags, lacking):
    assert written(kubeadm, etcd) == flags
    assert cannot_run(kubeadm, etcd) == lacking


def test_a_flag_that_no_version_changes_is_known():
    assert unknown(["data-dir", "listen-client-urls"], (3, 4)) == ()
    assert set(KNOWN) == {*OLD, *NEW}


@pytest.mark.parametrize(
    ("name", "kubeadm"),
    [
        ("3.4.23-flags-of-kubeadm-1.31.14", (1, 31)),
        ("3.5.16-flags-of-kubeadm-1.36.3", (1, 36)),
        ("3.6.8-flags-of-kubeadm-1.31.14", (1, 31)),
        ("3.6.8-flags-of-kubeadm-1.36.3", (1, 36)),
    ],
)
def test_the_rules_say_what_kubeadm_really_writes_and_etcd_really_takes(name, kubeadm):
    seen = etcd_flags.parse(recorded_answer(f"etcd/{name}"))
    tag = of_image(seen.image)
    assert tag
    assert {*seen.flags} & {*KNOWN} == {*written(kubeadm, tag)}
    etcd = of_image(f":{seen.version}")
    assert etcd
    assert tuple(flag for flag, _ in seen.refused) == unknown(seen.flags, etcd)
    assert bool(refused(seen)[0]) == bool(seen.refused)


def test_a_refusal_names_flags_versions_and_the_way_out():
    what, fix = refused(etcd_flags.parse(recorded_answer("etcd/3.5.16-flags-of-kubeadm-1.36.3")))
    assert what.startswith(
        "etcd 3.5.16 (registry.k8s.io/etcd:3.5.16-0) does not take --feature-gates, --watch-progress-notify-interval"
    )
    assert "(--feature-gates, --watch-progress-notify-interval: etcd 3.6 and newer), or take these flags out" in fix
    odd = Flags(
        image="a.example/etcd:3.6.8-0", flags=("odd",), version="3.6.8", refused=(("odd", "flag provided but not defined: -odd"),)
    )
    assert refused(odd)[0].endswith("would not start (flag provided but not defined: -odd)")


def test_where_etcd_cannot_be_asked_the_tag_decides():
    gone = Flags(image="r.example/etcd:3.5.16-0", flags=("name", *NEW), unknown="the image is not on this host")
    assert "etcd 3.5 (r.example/etcd:3.5.16-0) does not take --feature-gates" in refused(gone)[0]
    for image in ("r.example/etcd:3.6.8-0", "r.example/etcd@sha256:0f", ""):
        assert refused(Flags(image=image, flags=NEW, unknown="x")) == ("", "")


# ---- the script, with an etcd that knows some flags


ETCD = """#!/bin/bash
# reads its flags as etcd does
for each; do
    case $each in
    --version) echo "etcd Version: 3.5.16" && exit 0 ;;
    --name=* | --quoted=*) ;;
    *) each=${each#--} && printf 'flag provided but not defined: -%s\\nUsage:\\n' "${each%%=*}" >&2 && exit 2 ;;
    esac
done
touch "TOP/started"
"""
CTR = """#!/bin/bash
case $* in *"images mount"*) [ -e TOP/image ] && mkdir -p "${@: -1}/usr/local/bin" && cp TOP/image "${@: -1}/usr/local/bin/etcd" ;; esac
"""


@pytest.fixture
def asked(tmp_path: Path):
    def ask(manifest: str, *, pulled: bool = True) -> Flags:
        (tmp_path / "bin").mkdir()
        for path, text in (("bin/ctr", CTR), ("image", ETCD if pulled else "")):
            if text:
                (tmp_path / path).write_text(text.replace("TOP", str(tmp_path)))
                (tmp_path / path).chmod(0o755)
        (tmp_path / "etcd.yaml").write_text(manifest)
        program = etcd_flags.look().command.program
        for path, there in (
            ("/etc/kubernetes/manifests/etcd.yaml", "etcd.yaml"),
            ("/etc/kubernetes/ha-runbooks-parked", "parked"),
            ("/run/ha-runbooks-etcd-image", "view"),
        ):
            program = program.replace(path, str(tmp_path / there))
        answer = bash(f"PATH={tmp_path}/bin:$PATH\n{program}")
        assert (answer.exited, answer.stderr) == (0, "")
        assert not (tmp_path / "started").exists()
        return etcd_flags.parse(answer)

    return ask


MANIFEST = """spec:
  containers:
  - command:
    - etcd
    - --name=m1
    - "--quoted=a b"
    - --feature-gates=InitialCorruptCheck=true
    image: r.example/etcd:3.6.8-0
"""


def test_etcd_is_asked_and_not_started(asked):
    seen = asked(MANIFEST)
    assert (seen.image, seen.flags, seen.version) == ("r.example/etcd:3.6.8-0", ("name", "quoted", "feature-gates"), "3.5.16")
    assert seen.refused == (("feature-gates", "flag provided but not defined: -feature-gates"),)


def test_an_etcd_that_takes_all_its_flags(asked):
    seen = asked(MANIFEST.replace("    - --feature-gates=InitialCorruptCheck=true\n", ""))
    assert (seen.version, seen.refused, refused(seen)) == ("3.5.16", (), ("", ""))


def test_an_image_that_is_not_there(asked):
    seen = asked(MANIFEST, pulled=False)
    assert (seen.version, seen.unknown, refused(seen)) == ("", "the image is not on this host", ("", ""))
