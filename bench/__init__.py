"""Measurements in the lab: what clients see when a load balancer or a master fails, and how fast a run with nothing to do is."""
