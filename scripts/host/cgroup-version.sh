# Variables: none; cgroup.sh stands before this. Prints v1 or v2. Read-only.
# shellcheck shell=bash
cgroup_version
