"""The runbooks as commands: `inv --list` shows them all."""

from invoke import Collection

from lab import tasks as lab
from runbooks import backup, cluster, etcd, lb, site

ns = Collection()
for name, chapter in {"site": site, "lb": lb, "cluster": cluster, "etcd": etcd, "backup": backup, "lab": lab}.items():
    ns.add_collection(Collection.from_module(chapter, name=name))
