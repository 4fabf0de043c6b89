"""The script that reads metrics and audit logs, run by bash with a kubectl that has recorded metrics; and the parsers."""

from __future__ import annotations

import json

import pytest

from runbooks.commands import api_use, rendered
from runbooks.commands.api_use import Requested, User
from runbooks.commands.base import Answer
from tests.support.fakes import bash, master

pytestmark = pytest.mark.unit

KUBECTL = '#!/bin/bash\n[ -e TOP/metrics ] || { echo "The connection was refused" >&2; exit 1; }\ncat TOP/metrics\n'
METRICS = """# HELP process_start_time_seconds Start time
process_start_time_seconds 1.7e+09
apiserver_requested_deprecated_apis{group="policy",removed_release="1.25",resource="podsecuritypolicies",subresource="",version="v1beta1"} 1
apiserver_requested_deprecated_apis{group="a",removed_release="",resource="b",subresource="c",version="v1"} 0
apiserver_storage_objects{resource="podsecuritypolicies.policy"} 3
apiserver_storage_objects{resource="never.counted"} -1
apiserver_resource_objects{group="policy",resource="poddisruptionbudgets"} 2
apiserver_request_total{code="200"} 7
"""


def event(user, agent, removed="1.25", stage="ResponseComplete"):
    """An event as the API server writes it: one line, with these keys in this order."""
    notes = {"authorization.k8s.io/decision": "allow"}
    notes |= {"k8s.io/deprecated": "true", "k8s.io/removed-release": removed} if removed else {}
    return json.dumps(
        {
            "kind": "Event",
            "apiVersion": "audit.k8s.io/v1",
            "level": "Metadata",
            "stage": stage,
            "requestURI": "/apis/policy/v1beta1/podsecuritypolicies",
            "verb": "list",
            "user": {"username": user, "groups": ["system:authenticated"]},
            "userAgent": agent,
            "objectRef": {"resource": "podsecuritypolicies", "apiGroup": "policy", "apiVersion": "v1beta1"},
            "requestReceivedTimestamp": "2026-11-28T10:00:00.000000Z",
            "annotations": notes,
        },
        separators=(",", ":"),
    )


@pytest.fixture
def top(tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/kubectl").write_text(KUBECTL.replace("TOP", str(tmp_path)))
    (tmp_path / "bin/kubectl").chmod(0o755)
    (tmp_path / "manifests").mkdir()
    (tmp_path / "metrics").write_text(METRICS)
    return tmp_path


def read(top):
    program = api_use.look(master(1)).command.program.replace("/etc/kubernetes/manifests", f"{top}/manifests")
    answer = bash(f"PATH={top}/bin:$PATH\n{program}")
    assert (answer.exited, answer.stderr) == (0, "")
    return api_use.parse(answer)


def test_what_an_api_server_has_counted(top):
    seen = read(top)
    assert (seen.started, seen.error) == (1.7e9, "")
    assert seen.clock > seen.started
    assert seen.requested == (Requested("policy/v1beta1", "podsecuritypolicies", "1.25"),)
    assert seen.objects == {"podsecuritypolicies.policy": 3, "poddisruptionbudgets.policy": 2}
    assert (seen.audited, seen.audit) == (False, "the API server writes no audit log")


def test_an_api_server_that_does_not_answer(top):
    (top / "metrics").unlink()
    assert read(top).error == "The connection was refused"


def test_who_asked_by_the_audit_log(top):
    log = top / "audit.log"
    (top / "manifests/kube-apiserver.yaml").write_text(f"    - --audit-log-path={log}\n")
    assert read(top).audit == f"{log} is not on the host under this path"
    events = [
        *[event("system:serviceaccount:a:b", "helm/v3 (linux)")] * 3,
        event("jane", "kubectl/v1.20"),
        event("jane", "kubectl/v1.20", stage="RequestReceived"),
        event("joe", "kubectl/v1.20", removed=""),
    ]
    log.write_text("\n".join(events) + "\n")
    seen = read(top)
    what = Requested("policy/v1beta1", "podsecuritypolicies", "1.25")
    assert seen.users == (
        User("system:serviceaccount:a:b", "helm/v3 (linux)", 3, what),
        User("jane", "kubectl/v1.20", 1, what),
    )
    assert seen.audit == f"{log} since 2026-11-28T10:00:00.000000Z"


@pytest.mark.parametrize("said", ["", "clock 1\nmetric x\n", "clock 1\nuser x\n"])
def test_another_answer_is_no_answer(said):
    with pytest.raises(ValueError, match=r"."):
        api_use.parse(Answer(0, said))


def test_a_kind_that_is_not_served_has_no_objects():
    said = '@@ cronjobs batch/v1beta1 1\n! error: the server doesn\'t have a resource type "cronjobs"\n@@ x policy/v1beta1 1\n! forbidden\n@@ y a/b 1\n'
    found = api_use.parse_objects(Answer(0, said))
    assert [each.error for each in found] == ["", "forbidden", "kubectl exited 1"]


def test_manifests_that_were_not_rendered():
    assert rendered.parse(Answer(0, "kubeadm v1\nerror no such file \n")).error == "no such file"
    with pytest.raises(ValueError, match="neither"):
        rendered.parse(Answer(0, "kubeadm v1\n"))
