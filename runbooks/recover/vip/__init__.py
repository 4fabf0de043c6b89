"""`inv recover.vip`: bring the VIP back to exactly one load balancer."""
