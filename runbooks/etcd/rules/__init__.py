"""Pure decisions about etcd: its data file and its latencies. Decisions that other wings ask too are in runbooks.rules."""
