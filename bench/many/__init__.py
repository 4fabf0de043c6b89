"""What bench.many_hosts runs beside our commands."""
