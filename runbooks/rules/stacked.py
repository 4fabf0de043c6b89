"""Commands that are made for etcd on the control plane hosts, and for no other. Pure."""

from runbooks.errors import InventoryError
from runbooks.inventory.model import Site


def require(site: Site) -> None:
    """Raise InventoryError when hosts.yaml says that etcd runs elsewhere: nothing here would find its members, or be their backup."""
    if site.kubernetes.etcd != "stacked":
        raise InventoryError(
            f"{site.name}: kubernetes.etcd is {site.kubernetes.etcd}: its etcd does not run on the control plane hosts, and this command is"
            " only for one that does",
            hint="look after it where it runs, with etcdctl and etcdutl: https://etcd.io/docs/latest/op-guide/",
        )
