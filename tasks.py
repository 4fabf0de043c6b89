"""The runbooks as commands: `inv --list` shows them all."""

from invoke import Collection

from lab import tasks as lab
from rehearse import tasks as rehearse
from runbooks.backup import tasks as backup
from runbooks.certs import tasks as certs
from runbooks.cluster import tasks as cluster
from runbooks.day2 import tasks as day2
from runbooks.doctor import tasks as doctor
from runbooks.drill import tasks as drill
from runbooks.engine.tasks import named_tasks
from runbooks.etcd import tasks as etcd
from runbooks.lb import tasks as lb
from runbooks.monitor import tasks as monitor
from runbooks.recover import tasks as recover
from runbooks.runs import tasks as runs
from runbooks.site import tasks as site
from runbooks.upgrade import tasks as upgrade

ns = Collection()
CHAPTERS = {
    "site": site,
    "lb": lb,
    "cluster": cluster,
    "etcd": etcd,
    "backup": backup,
    "certs": certs,
    "monitor": monitor,
    "recover": recover,
    "upgrade": upgrade,
    "drill": drill,
    "runs": runs,
    "lab": lab,
}
for name, chapter in CHAPTERS.items():
    ns.add_collection(Collection.from_module(chapter, name=name))
for command in (day2.diff, day2.reconfigure, day2.cordon, day2.drain, day2.uncordon, day2.reboot):
    ns.collections["cluster"].add_task(command)
ns.add_task(doctor.examine, name="doctor")  # one command, no chapter
rehearse.rehearse.others = {**named_tasks(ns.collections), "doctor": doctor.examine}
ns.add_task(rehearse.rehearse, name="rehearse")
