"""Who refuses a write, from the API server's error: a webhook that does not answer, a webhook or a policy that denies, or others. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from runbooks.commands.admission import Admission, Webhook
from runbooks.errors import RunbookError
from runbooks.rules.finding import Finding
from runbooks.text import listed

TOPIC = "admission"
Kind = Literal["broken", "denied", "policy", "untested", "slow", "refused"]
# Messages of the API server (k8s.io/apiserver: webhook/errors, plugin/webhook/errors, plugin/policy/validating), of 1.20 and newer.
MESSAGES: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("untested", re.compile(r'admission webhook "(?P<who>[^"]+)" does not support dry run')),
    ("broken", re.compile(r'failed calling webhook "(?P<who>[^"]+)": (?:failed to call webhook: )?(?P<why>.*)')),
    ("denied", re.compile(r'admission webhook "(?P<who>[^"]+)" denied the request(?:: (?P<why>.*)| without explanation)')),
    ("policy", re.compile(r"(?:Validating|Mutating)AdmissionPolicy '(?P<who>[^']+)' .*?denied request: (?P<why>.*)")),
    ("refused", re.compile(r"(?P<who>)Error from server \(Forbidden\): (?P<why>.*)")),  # also when a backend of a plugin is slow
    ("slow", re.compile(r"(?P<who>)(?P<why>.*(?:deadline exceeded|[Tt]imeout|timed out|time allotted).*)")),
)
# Right after kubeadm init the controllers have not made these accounts yet. If they never do, `findings` says so.
YOUNG = re.compile(r'error looking up service account \S+: serviceaccount "default" not found')
WIDTH = 200  # characters of a reason


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a write is not accepted. ``who`` is the webhook or the policy, "" when it is not known; ``hook`` its configuration."""

    kind: Kind
    what: str
    who: str
    why: str
    hook: Webhook | None

    @property
    def certain(self) -> bool:
        """Whether the real write would fail too. The pod that is tried may be denied (a quota, a policy), and those that are needed not."""
        return self.kind in {"broken", "slow"} or (self.kind in {"denied", "policy", "refused"} and "Pod" not in self.what)


def refusals(seen: Admission) -> list[Refusal]:
    """Return who refused which write: one for each write that was not accepted."""
    return [_refusal(seen, each.what, each.error) for each in seen.refused]


def _refusal(seen: Admission, what: str, error: str) -> Refusal:
    for kind, pattern in MESSAGES:
        if match := pattern.search(error):
            parts = match.groupdict()
            who, why = parts["who"], (parts.get("why") or "").strip()
            hook = next((each for each in seen.webhooks if each.name == who), None)
            if kind == "untested" and hook and hook.policy == "Fail" and hook.service in seen.silent:
                return Refusal(
                    "broken", what, who, "it was not asked, because it refuses dry runs", hook
                )  # a real write would ask it
            return Refusal(kind, what, who, _short(why), hook)
    return Refusal("refused", what, "", _short(re.sub(r"\A(Error from server(?: \(\w+\))?|error): ", "", error)), None)


def _short(why: str) -> str:
    return why if len(why) <= WIDTH else f"{why[: WIDTH - 3]}..."


def told(seen: Admission, found: Refusal) -> str:
    """Return who refuses, and why, in one line."""
    hook = found.hook
    of = f" of the {hook.kind} {hook.configuration} (failurePolicy {hook.policy})" if hook else ""
    if found.kind == "broken":
        behind = f"; its Service {hook.service}: {reason}" if hook and (reason := seen.silent.get(hook.service)) else ""
        return f'the webhook "{found.who}"{of} does not answer: {found.why}{behind}'
    if found.kind == "denied":
        return f'the webhook "{found.who}"{of} denies it: {found.why or "it gives no reason"}'
    if found.kind == "policy":
        return f'the ValidatingAdmissionPolicy "{found.who}" denies it: {found.why}'
    if found.kind == "untested":
        return f'the webhook "{found.who}"{of} refuses dry runs (sideEffects), so it is not known whether it accepts this'
    if found.kind == "slow":
        return f"the API server does not answer in time: {found.why}"
    return f"it is not accepted, the answer was: {found.why or 'nothing'}"


def fix(found: Refusal) -> str:
    """Return what to do. Nothing here is done by this tool: a webhook may be there for safety."""
    hook = found.hook
    if found.kind == "policy":
        return f"kubectl get validatingadmissionpolicy {found.who} -o yaml; allow what hosts need to join, or delete its binding"
    if found.kind == "refused":
        return _other_fix(found.why)
    if not hook:
        return "kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations"
    if found.kind == "denied":
        return f"kubectl get {hook.kind.lower()} {hook.configuration} -o yaml; allow this in the software behind it, or delete it"
    return _start_or_switch_off(hook)


def _other_fix(why: str) -> str:
    if "quota" in why:
        return "kubectl get resourcequotas -A; raise the one that is named there"
    if re.search(r"cannot \w+ resource|[Uu]nauthorized", why):
        return "inv certs.check; the user of /etc/kubernetes/admin.conf needs all rights: kubectl auth can-i '*' '*'"
    return "inv cluster.status; the API server's log: crictl logs $(crictl ps -q --name kube-apiserver)"


def _start_or_switch_off(hook: Webhook) -> str:
    namespace, _, name = hook.service.partition("/")
    start = f"start what serves it: kubectl -n {namespace} get deployments,pods,endpoints/{name}; or, " if hook.service else ""
    patch = f'[{{"op":"replace","path":"/webhooks/{hook.place}/failurePolicy","value":"Ignore"}}]'
    return (
        f"{start}until it answers: kubectl patch {hook.kind.lower()} {hook.configuration} --type=json -p '{patch}'; "
        f"if it is not needed any more: kubectl delete {hook.kind.lower()} {hook.configuration}"
    )


def refused(seen: Admission | RunbookError) -> tuple[str, str]:
    """Return why a procedure must not begin, and the fix; ("", "") when nothing certainly refuses what it writes."""
    if isinstance(seen, RunbookError):
        return "", ""
    found = next((each for each in refusals(seen) if each.certain), None)
    return (f"the API refuses {found.what}: {told(seen, found)}", fix(found)) if found else ("", "")


def unsure(seen: Admission | RunbookError) -> list[str]:
    """Return what a procedure cannot know before it begins. Not that the cluster is a few seconds old."""
    if isinstance(seen, RunbookError):
        return [f"it could not be tried whether the API accepts what this writes: {seen}"]
    doubts = [each for each in refusals(seen) if not each.certain and not YOUNG.search(each.why)]
    return [f"{listed(each.what for each in those)}: {told(seen, those[0])}" for those in _alike(doubts)]


def findings(seen: Admission) -> list[Finding]:
    """Return a failure for each webhook or policy that refuses a write, a warning for one that nobody answers for, else one that is ok."""
    rows = list(_refusing(seen))
    named = {each.who for each in refusals(seen) if each.kind == "broken"}
    for hook in seen.webhooks:
        reason = seen.silent.get(hook.service)
        if reason and hook.policy == "Fail" and hook.name not in named:
            text = f'nobody answers for the webhook "{hook.name}" of the {hook.kind} {hook.configuration}: its Service {hook.service}: {reason}'
            rows.append(
                Finding(
                    "warn", topic=TOPIC, seen=text, why="writes that it has to judge are refused", fix=_start_or_switch_off(hook)
                )
            )
    return rows or [Finding("ok", topic=TOPIC, seen=f"writes are accepted (dry runs), {len(seen.webhooks)} webhooks")]


def _alike(found: Iterable[Refusal]) -> Iterable[list[Refusal]]:
    """Return the refusals of each webhook or policy together, others by their words; only the words of a timeout differ."""
    alike: dict[tuple[Kind, str], list[Refusal]] = {}
    for each in found:
        alike.setdefault((each.kind, each.why if each.kind == "refused" else each.who), []).append(each)
    return alike.values()


def _refusing(seen: Admission) -> Iterator[Finding]:
    for those in _alike(refusals(seen)):
        kind, text = those[0].kind, told(seen, those[0])
        what = listed(each.what for each in those)
        grave = any(each.certain for each in those)
        if kind == "slow":  # other checks say how bad that is
            yield Finding("note", topic=TOPIC, seen=f"{what}: {text}", why="it is not known whether writes are accepted")
            continue
        why = "nothing of this kind can be written, so pods, joins and recoveries fail" if grave else ""
        severity: Literal["note", "warn", "fail"] = "note" if not grave else "fail" if kind == "broken" else "warn"
        yield Finding(severity, topic=TOPIC, seen=f"{what}: {text}", why=why, fix=fix(those[0]) if grave else "")
