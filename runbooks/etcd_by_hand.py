"""What a person does instead of the steps on etcd."""

from __future__ import annotations

from runbooks.by_hand import shell
from runbooks.commands.etcd import TEST_KEY, Member
from runbooks.inventory.model import Host
from runbooks.rules.etcd import LAG_ALLOWED
from runbooks.rules.etcd_care import MIB, NEAR_QUOTA, WORTH_RATIO, WORTH_SIZE

STATUS = "etcdctl endpoint status --cluster -w table"
SIZES = 'etcdctl endpoint status --cluster -w json | grep -oE \'"(Endpoint|dbSize|dbSizeInUse|revision)":"?[^,}]*\''
WELL = (STATUS, "etcdctl endpoint health --cluster", "etcdctl alarm list")


def whole() -> str:
    """Nothing is wrong with any member."""
    return (
        f"On a control plane host:{shell(*WELL)}Go on only when every member is there and healthy, one of them leads and all show the same "
        "RAFT TERM, none is a learner, and there is no alarm. A member that stands still for a moment must not be the one too many."
    )


def make_leader(target: Member) -> str:
    """Hand over to this member."""
    return (
        f"`{STATUS}` shows the leader (IS LEADER), and {target} must be healthy and no learner. On the leader's own host:"
        f"{shell(f'etcdctl move-leader {target.id}')}(the ID of {target} in `etcdctl member list`). Done when the same table shows "
        f"{target} as the leader."
    )


def let_another_lead(host: Host) -> str:
    """Hand over before the leader's turn."""
    return (
        f"Only if {host} leads (IS LEADER in `{STATUS}`). On {host}, with the ID of the healthy voter whose RAFT APPLIED INDEX is highest:"
        f"{shell('etcdctl move-leader ID')}Done when the table shows another leader. Without this the others wait a second for an election, "
        "and nothing is written meanwhile."
    )


def defragment(host: Host) -> str:
    """One member's turn."""
    return (
        f"Only where it pays, for the member answers nobody meanwhile (about 1 s for 100 MiB): dbSizeInUse below {WORTH_RATIO:.0%} of a dbSize "
        f"of over {WORTH_SIZE // MIB} MiB, or dbSize above {NEAR_QUOTA:.0%} of the quota; after a NOSPACE alarm always.{shell(SIZES)}"
        f"On {host}, when it does not lead and all other members are healthy: `etcdctl defrag --command-timeout=10m`.\n"
        "Done when dbSize is near dbSizeInUse."
    )


def back(host: Host) -> str:
    """It is well again before the next one's turn."""
    return (
        f"`etcdctl endpoint health --cluster` says healthy of all, and in `{STATUS}` the RAFT APPLIED INDEX of {host} is less than "
        f"{LAG_ALLOWED} behind the highest. Wait up to two minutes; if it does not come true, touch no other member."
    )


def look_at_alarms() -> str:
    """NOSPACE and nothing else."""
    return (
        f"On a control plane host:{shell('etcdctl alarm list', SIZES)}Nothing to do without an alarm. An alarm CORRUPT is never disarmed: "
        "that member's data differ, and it is replaced ([etcd](../etcd.md#corruption)). A majority of the members must be healthy."
    )


def compact() -> str:
    """Forget old versions."""
    lines = (
        "rev=$(etcdctl endpoint status -w json | grep -o '\"revision\":[0-9]*' | tr -dc 0-9)",
        'etcdctl compact "$rev" --physical=true --command-timeout=5m',
    )
    return (
        f'On a control plane host whose member is healthy:{shell(*lines)}Done when it says compacted (or "has been compacted" already), and '
        "dbSizeInUse does not fall any more. (https://etcd.io/docs/v3.5/op-guide/maintenance/#space-quota)"
    )


def room() -> str:
    """Below the quota."""
    return (
        f"Compare dbSize of every member with its quota (`grep quota-backend-bytes /etc/kubernetes/manifests/etcd.yaml`; 2 GiB when it says "
        f"nothing):{shell(SIZES)}Go on only below {NEAR_QUOTA:.0%}: above it the alarm would be back within minutes. Then delete what fills "
        "it, or raise the quota (8 GiB at most): [etcd](../etcd.md#database-space-exceeded)."
    )


def disarm() -> str:
    """Take the alarm back."""
    return "On a control plane host: `etcdctl alarm disarm`.\nDone when `etcdctl alarm list` prints nothing."


def prove() -> str:
    """A key of our own."""
    return (
        f"On a control plane host:{shell(f'etcdctl put {TEST_KEY} 1 && etcdctl del {TEST_KEY}')}Done when it says OK and 1. The control plane "
        "needs up to half a minute more to find its leaders again."
    )
