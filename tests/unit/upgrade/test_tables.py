"""The tables of what is no longer accepted, against what real components say, and in themselves."""

from __future__ import annotations

import pytest
import yaml

from runbooks.rules.etcd_flags import KNOWN
from runbooks.rules.kubeadm import LAST, api_version
from runbooks.upgrade.rules import tables
from runbooks.upgrade.rules.tables import COMPONENTS, FOLDER, by_item, rows
from tests.support import refusals
from tests.support.recorded import recorded_answer

pytestmark = pytest.mark.unit

REAL = {"1.31.14": (1, 31), "1.34.9": (1, 34), "1.36.3": (1, 36)}
KUBERNETES = [row for row in rows() if row.components != ("etcd",)]


def refused(version, what):
    return set(refusals.of_answers(recorded_answer(f"kubernetes/{version}-refused-{what}"))["refused"])


@pytest.mark.parametrize("version", REAL)
def test_flags_are_refused_from_the_version_in_the_table_on(version):
    wanted = {
        f"{component} --{row.item}"
        for row in KUBERNETES
        for component in row.components
        if row.kind == "flag" and row.gone and row.gone <= REAL[version]
    }
    assert refused(version, "flags") == wanted
    asked = {question for question, _ in refusals.asked(recorded_answer(f"kubernetes/{version}-refused-flags"))}
    assert asked == {f"{each} --{row.item}" for row in KUBERNETES if row.kind == "flag" for each in row.components}


@pytest.mark.parametrize("version", REAL)
def test_values_and_configuration_files_are_refused_from_the_version_in_the_table_on(version):
    said = refusals.of_answers(recorded_answer(f"kubernetes/{version}-refused-values"))
    wanted = {f"{row.components[0]} --{row.item}={row.value}": row for row in KUBERNETES if row.kind == "value"}
    wanted |= {f"kube-scheduler --config with {row.item}": row for row in KUBERNETES if row.kind == "api"}
    wanted |= {f"kube-apiserver --audit-policy-file with {row.item}": row for row in KUBERNETES if row.kind == "api"}
    too_new = {
        question for question in said["refused"] if question.endswith(("PodGroupWorkloadExists", "/v1alpha2"))
    }  # only in 1.36
    assert [question for question in said["refused"] if wanted[question].gone > REAL[version] and question not in too_new] == []
    assert [question for question in said["taken"] if question in wanted and wanted[question].gone <= REAL[version]] == []
    assert {"kube-scheduler --config with kubescheduler.config.k8s.io/v1"} <= set(said["taken"])


@pytest.mark.parametrize("version", REAL)
def test_gates_are_unknown_and_locked_from_the_version_in_the_table_on(version):
    seen = {name: refusals.of_gates(recorded_answer(f"kubernetes/{name}-refused-gates")) for name in REAL}
    here = seen[version]
    gates = {row.item: row for row in KUBERNETES if row.kind == "gate" and row.components == COMPONENTS}
    gone = {name for name, row in gates.items() if row.gone and row.gone <= REAL[version]}
    assert set(here["components"]) == set(COMPONENTS)
    assert here["unknown_in_some"] == {}
    assert gone <= here["unknown"]
    # Those that are unknown and not gone are too new for this version: a newer one knows them, or knew them in between.
    newer = [seen[name] for name in REAL if REAL[name] > REAL[version]]
    between = {"LegacySidecarContainers"}  # only in 1.33
    assert {
        name for name in here["unknown"] - gone - between if not any(name not in other["unknown"] for other in newer)
    } == set()
    locked = {name: row.value for name, row in gates.items() if row.locked and row.locked <= REAL[version]}
    assert here["locked"] == {name: value for name, value in locked.items() if name not in here["unknown"]}


@pytest.mark.parametrize("version", REAL)
def test_kubeadm_refuses_its_own_gates_and_old_formats_from_the_version_in_the_table_on(version):
    said = refusals.of_answers(recorded_answer(f"kubernetes/{version}-refused-kubeadm"))
    gone = {row.item for row in KUBERNETES if row.components == ("kubeadm",) and row.gone and row.gone <= REAL[version]}
    too_new = {"NodeLocalCRISocket"} if version == "1.31.14" else set()  # from 1.32 on
    assert set(said["refused"]) == gone | too_new


def test_etcd_refuses_flags_from_the_version_in_the_table_on():
    said = refusals.of_answers(recorded_answer("etcd/3.6.8-refused-flags"))
    assert set(said["refused"]) == {f"--{row.item}" for row in rows() if row.components == ("etcd",) and row.gone <= (3, 6)}


def test_every_row_says_when_and_has_a_source():
    for row in rows():
        assert row.source
        assert row.gone or row.locked
        assert not row.locked or (row.kind == "gate" and row.value in {"true", "false"})
        assert not (row.locked and row.gone) or row.locked < row.gone
        assert row.documented == (tables.LAST in (row.gone, row.locked)) or row.components == ("etcd",)
        assert (1, 20) < (row.locked or row.gone) <= tables.LAST or row.components == ("etcd",) or row.locked


def test_every_source_is_used_and_no_row_is_there_twice():
    for path in FOLDER.glob("*.yaml"):
        whole = yaml.safe_load(path.read_text())
        used = {row["source"] for name, section in whole.items() if name != "sources" for row in section}
        assert used == set(whole["sources"]), path.name
    for key, found in by_item().items():
        assert len({(row.value, row.kind) for row in found}) == len(found), key


def test_the_tables_agree_with_what_the_rest_of_the_tool_knows():
    assert tables.LAST == LAST
    for flag, (_, gone) in KNOWN.items():
        here = by_item().get(("flag", "etcd", flag), ())
        assert [row.gone for row in here] == ([gone] if gone else [])
    for minor in range(20, 38):
        written = f"kubeadm.k8s.io/{api_version((1, minor, 0))}"
        assert all(row.gone > (1, minor) for row in by_item().get(("api", "kubeadm", written), ()))
