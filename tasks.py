"""The runbooks as commands: `inv --list` shows them all."""

import sys
from collections.abc import Sequence
from importlib import import_module

from invoke import Collection

from runbooks.engine.tasks import named_tasks

CHAPTERS = {
    "site": "runbooks.site.tasks",
    "lb": "runbooks.lb.tasks",
    "cluster": "runbooks.cluster.tasks",
    "etcd": "runbooks.etcd.tasks",
    "backup": "runbooks.backup.tasks",
    "certs": "runbooks.certs.tasks",
    "monitor": "runbooks.monitor.tasks",
    "recover": "runbooks.recover.tasks",
    "upgrade": "runbooks.upgrade.tasks",
    "drill": "runbooks.drill.tasks",
    "runs": "runbooks.runs.tasks",
    "lab": "lab.tasks",
}
ALONE = {"doctor": "runbooks.doctor.tasks"}  # one command, no chapter


def needed(words: Sequence[str]) -> set[str]:
    """Return the chapters and single commands that a command line names. No others are loaded: Invoke copies all that there are several times.

    All of them unless it begins with the name of a command; rehearse, which is given others, needs all.

    >>> sorted(needed(["cluster.verify", "--json"])), sorted(needed(["lab.up", "lb.setup"]))
    (['cluster'], ['lab', 'lb'])
    >>> needed(["--list"]) == needed([]) == needed(["rehearse", "doctor"]) == needed(["doktor"]) == {*CHAPTERS, *ALONE}
    True
    """
    named = {word.partition(".")[0] for word in words if "." in word or word in ALONE}
    found = named & {*CHAPTERS, *ALONE}
    begins = words[0].partition(".")[0] if words else ""
    return found if begins in found and "rehearse" not in words else {*CHAPTERS, *ALONE}


def load(chapters: set[str]) -> Collection:
    """Return the commands of ``chapters``."""
    found = Collection()
    for name, module in CHAPTERS.items():
        if name in chapters:
            found.add_collection(Collection.from_module(import_module(module), name=name))
    if "cluster" in chapters:
        from runbooks.day2 import tasks as day2  # noqa: PLC0415 - start-up time

        for command in (day2.diff, day2.reconfigure, day2.cordon, day2.drain, day2.uncordon, day2.reboot):
            found.collections["cluster"].add_task(command)
    if "doctor" in chapters:
        from runbooks.doctor import tasks as doctor  # noqa: PLC0415

        found.add_task(doctor.examine, name="doctor")
    if chapters == {*CHAPTERS, *ALONE}:
        from rehearse import tasks as rehearse  # noqa: PLC0415

        rehearse.rehearse.others = {**named_tasks(found.collections), "doctor": found.tasks["doctor"]}
        found.add_task(rehearse.rehearse, name="rehearse")
    return found


ns = load(needed(sys.argv[1:]))
