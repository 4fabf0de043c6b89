"""etcd, looked at and taken care of."""
