"""Monitoring: what Prometheus scrapes, the rules that alert people, the dashboards, and whether all of that works."""
