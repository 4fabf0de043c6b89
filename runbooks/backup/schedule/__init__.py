"""Backups on a schedule: cron or systemd, on this machine or on a host of the site."""
