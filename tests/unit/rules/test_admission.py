"""Who refuses a write, by the words of the API server."""

import json

import pytest

from runbooks.commands import admission as commands
from runbooks.commands.admission import Admission, Refused, Webhook
from runbooks.commands.base import Answer
from runbooks.errors import CommandError
from runbooks.rules import admission as rules

pytestmark = pytest.mark.unit

HOOK = Webhook(
    name="judge.company.example",
    kind="ValidatingWebhookConfiguration",
    configuration="company-policy",
    place=1,
    policy="Fail",
    service="tools/judge",
)
# As the API server writes them: 1.20 and newer.
BROKEN = (
    'Error from server (InternalError): Internal error occurred: failed calling webhook "judge.company.example": '
    'Post "https://judge.tools.svc:443/judge?timeout=10s": no endpoints available for service "judge"'
)
BROKEN_NOW = (
    'Error from server (InternalError): Internal error occurred: failed calling webhook "judge.company.example": failed to call webhook: '
    'Post "https://judge.tools.svc:443/judge?timeout=10s": context deadline exceeded'
)
DENIED = 'Error from server (Forbidden): admission webhook "judge.company.example" denied the request: no secrets here'
NO_REASON = 'Error from server: admission webhook "judge.company.example" denied the request without explanation'
UNTESTED = 'Error from server (BadRequest): admission webhook "judge.company.example" does not support dry run'
POLICY = (
    "Error from server (Invalid): secrets \"x\" is forbidden: ValidatingAdmissionPolicy 'no-secrets' with binding 'everywhere' "
    "denied request: secrets are kept in the vault"
)
SLOW = "Unable to connect to the server: context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
SECURITY = 'Error from server (Forbidden): pods "x" is forbidden: violates PodSecurity "restricted:latest": seccompProfile'
RIGHTS = (
    'Error from server (Forbidden): secrets is forbidden: User "kubernetes-admin" cannot create resource "secrets" in API group "" '
    'in the namespace "kube-system"'
)
BACKEND = (
    'Error from server (Forbidden): pods "x" is forbidden: Post "https://images.company.example/": context deadline exceeded'
)
QUOTA = 'Error from server (Forbidden): pods "x" is forbidden: exceeded quota: small'


def seen(error, what="a Secret in kube-system", silent=()):
    return Admission((Refused(what, error),), (HOOK,), dict(silent))


@pytest.mark.parametrize(
    ("error", "kind", "who", "certain"),
    [
        (BROKEN, "broken", HOOK.name, True),
        (BROKEN_NOW, "broken", HOOK.name, True),
        (DENIED, "denied", HOOK.name, True),
        (NO_REASON, "denied", HOOK.name, True),
        (UNTESTED, "untested", HOOK.name, False),
        (POLICY, "policy", "no-secrets", True),
        (SLOW, "slow", "", True),
    ],
)
def test_who_refuses(error, kind, who, certain):
    (found,) = rules.refusals(seen(error))
    assert (found.kind, found.who, found.certain) == (kind, who, certain)
    assert (rules.refused(seen(error)) != ("", "")) == certain
    assert bool(rules.unsure(seen(error))) != certain


@pytest.mark.parametrize(
    ("error", "fix"),
    [
        (QUOTA, "kubectl get resourcequotas"),
        (SECURITY, "inv cluster.status"),
        (RIGHTS, "inv certs.check"),
        (BACKEND, "inv cluster.status"),
        ("error: You must be logged in to the server (Unauthorized)", "inv certs.check"),
        (
            "The connection to the server 10.1.1.101:6443 was refused - did you specify the right host or port?",
            "inv cluster.status",
        ),
        ("Error from server (InternalError): Internal error occurred: rpc error: dial unix /run/kms.sock", "inv cluster.status"),
        ("", "inv cluster.status"),
    ],
)
def test_every_other_refusal_stops_a_procedure_unless_only_the_pod_that_is_tried_is_refused(error, fix):
    (found,) = rules.refusals(seen(error))
    assert (found.kind, found.certain) == ("refused", True)
    reason, hint = rules.refused(seen(error))
    assert reason.startswith("the API refuses a Secret in kube-system: it is not accepted, the answer was: ")
    assert hint.startswith(fix)
    assert [each.severity for each in rules.findings(seen(error))] == ["warn"]
    pod = seen(error, "a Pod in default")
    assert rules.refused(pod) == ("", "")
    assert rules.unsure(pod)[0].startswith("a Pod in default: it is not accepted")
    assert [each.severity for each in rules.findings(pod)] == ["note"]


@pytest.mark.parametrize("error", [DENIED, POLICY])
def test_a_pod_that_is_only_tried_may_be_denied(error):
    """A policy may want of every pod what the one that is tried has not. One that does not answer lets no pod through."""
    assert rules.refused(seen(error, "a Pod in kube-system")) == ("", "")
    assert rules.refused(seen(BROKEN, "a Pod in kube-system")) != ("", "")


def test_the_webhook_its_configuration_and_its_service_are_named():
    reason, fix = rules.refused(seen(BROKEN, silent={"tools/judge": "it has no endpoints"}))
    assert reason == (
        'the API refuses a Secret in kube-system: the webhook "judge.company.example" of the ValidatingWebhookConfiguration company-policy '
        '(failurePolicy Fail) does not answer: Post "https://judge.tools.svc:443/judge?timeout=10s": no endpoints available for service '
        '"judge"; its Service tools/judge: it has no endpoints'
    )
    assert "kubectl -n tools get deployments,pods,endpoints/judge" in fix
    assert '"path":"/webhooks/1/failurePolicy","value":"Ignore"' in fix
    assert "kubectl delete validatingwebhookconfiguration company-policy" in fix


def test_what_could_not_be_asked_refuses_nothing_and_is_told():
    error = CommandError("master1: `dry-writes` exited 1")
    assert rules.refused(error) == ("", "")
    assert "could not be tried" in rules.unsure(error)[0]


@pytest.mark.parametrize(
    ("found", "severity", "words"),
    [
        (Admission((), (HOOK,), {}), "ok", "writes are accepted"),
        (seen(BROKEN), "fail", "does not answer"),
        (seen(DENIED), "warn", "denies it: no secrets here"),
        (seen(DENIED, "a Pod in default"), "note", "denies it"),
        (seen(UNTESTED), "note", "refuses dry runs"),
        (Admission((), (HOOK,), {"tools/judge": "it has no endpoints"}), "warn", "nobody answers for the webhook"),
        (seen(SLOW), "note", "does not answer in time"),
    ],
)
def test_findings(found, severity, words):
    (only,) = rules.findings(found)
    assert (only.severity, words in only.seen) == (severity, True), only.seen


def test_a_webhook_that_refuses_dry_runs_and_does_not_answer_refuses_the_real_write():
    reason, _ = rules.refused(seen(UNTESTED, silent={"tools/judge": "it has no endpoints"}))
    assert (
        "does not answer: it was not asked, because it refuses dry runs; its Service tools/judge: it has no endpoints" in reason
    )


def test_a_webhook_that_refuses_and_does_not_answer_is_told_once():
    both = Admission((Refused("a Secret", BROKEN), Refused("a Pod", BROKEN_NOW)), (HOOK,), {"tools/judge": "it has no endpoints"})
    (only,) = rules.findings(both)
    assert only.seen.startswith("a Secret, a Pod: the webhook")


# ---- what comes from the host


def test_answers_are_read_in_the_order_of_the_writes():
    tried = commands.writes("name-0a1b2c")
    validating, mutating = commands.CONFIGURATIONS
    hooks = {
        "items": [
            {"metadata": {"name": "one"}, "webhooks": [{"name": "a", "clientConfig": {"url": "https://x"}}]},
            {"metadata": {}},
        ]
    }
    lines = [*(f"{each.path} 0 " for each in tried[:2]), f"{tried[2].path} 1 {BROKEN}", f"/api/v1/nodes/worker1 1 {DENIED}"]
    text = "\n".join([*lines, f"{validating} 0 {json.dumps(hooks)}", f"{mutating} 1 Error"])
    found = commands.parse(Answer(0, text), tried, "worker1")
    assert found.refused == (Refused("a Pod in default", BROKEN), Refused("the deletion of the Node worker1", DENIED))
    assert [(each.configuration, each.name, each.policy, each.service) for each in found.webhooks] == [("one", "a", "Fail", "")]
    with pytest.raises(ValueError, match="answers came back"):
        commands.parse(Answer(0, lines[0]), tried)


def test_every_write_has_a_path_and_a_name_of_its_own():
    those = commands.writes_of_a_join("ha-runbooks-try-0a1b2c3d", workload=True)
    assert [each.path for each in those] == [
        "/api/v1/namespaces/default/pods",
        "/api/v1/namespaces/kube-system/secrets",
        "/api/v1/namespaces/kube-system/secrets",
        "/api/v1/namespaces/kube-system/configmaps",
        "/api/v1/namespaces/kube-system/pods",
        "/api/v1/nodes",
        "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases",
    ]
    assert json.loads(those[1].manifest)["metadata"]["name"] == "bootstrap-token-1b2c3d"
    assert json.loads(those[6].manifest)["apiVersion"] == "coordination.k8s.io/v1"


def test_services_for_which_nobody_answers():
    paths = {f"/api/v1/namespaces/tools/endpoints/{name}": f"tools/{name}" for name in ("judge", "gone", "well", "unready")}
    lines = [
        "clock 1",
        '/api/v1/namespaces/tools/endpoints/gone 1 Error from server (NotFound): endpoints "gone" not found',
        '/api/v1/namespaces/tools/endpoints/judge 0 {"kind":"Endpoints"}',
        '/api/v1/namespaces/tools/endpoints/unready 0 {"subsets":[{"notReadyAddresses":[{"ip":"10.0.0.1"}]}]}',
        '/api/v1/namespaces/tools/endpoints/well 0 {"subsets":[{"addresses":[{"ip":"10.0.0.1"}]}]}',
    ]
    found = commands.parse_silent(Answer(0, "\n".join(lines)), paths)
    assert set(found) == {"tools/gone", "tools/judge", "tools/unready"}


# Kubernetes 1.36.3, a few seconds after kubeadm init; scripts/rehearse-versions.
YOUNG = (
    'Error from server (Forbidden): pods "ha-runbooks-try-79f259ec" is forbidden: error looking up service account kube-system/default: '
    'serviceaccount "default" not found'
)


def test_a_cluster_that_is_a_few_seconds_old_is_no_doubt():
    """Its controllers make the account before any pod needs it; a cluster that lasts without one is found by cluster.verify."""
    young = seen(YOUNG, "a Pod in kube-system")
    assert rules.unsure(young) == []
    assert rules.refused(young) == ("", "")
    (finding,) = rules.findings(young)
    assert "serviceaccount" in finding.seen
    assert finding.severity != "ok"
