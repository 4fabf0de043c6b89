"""etcd: status, members, latencies, leadership, defragmentation, the NOSPACE alarm."""
