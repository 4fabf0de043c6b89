"""etcd is restored after its quorum is lost."""
