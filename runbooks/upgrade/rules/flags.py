"""The help texts of the flags that `choices.Choices` is made from, for the commands that have them."""

from typing import Final

CHOICES: Final = {
    "to": "the version to upgrade to, such as 1.36.3",
    "hops": "also several minor versions, one whole upgrade after the other",
    "only": "only these nodes, separated by commas; every control plane host comes before any kubelet",
    "pause_after": "end the run after this node; the same command goes on with the next one",
    "until": "begin no other node after this time (05:00); a node that was begun is finished",
    "workers_at_once": "how many workers at the same time, after the first one alone: a number, or a percentage",
    "drain_timeout": "seconds that the Pods of a node get to move",
    "delete_emptydir_data": "Pods with emptyDir volumes may be evicted; what is in these volumes is lost",
    "force_pods": "Pods without a controller that may be deleted for good: NAMESPACE/NAME, separated by commas",
    "no_backup": "make no backup before",
}
