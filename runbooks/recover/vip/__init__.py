"""The VIP is brought back to one load balancer."""
