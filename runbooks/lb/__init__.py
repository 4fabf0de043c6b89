"""The load balancers: HAProxy and keepalived, the VIP."""
