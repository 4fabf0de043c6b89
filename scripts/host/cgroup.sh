# Which cgroups the kubelet finds on this host; stands before another script. Variables: none.
# cgroup_version prints v1 or v2, by the rule of the kubelet: what is mounted on /sys/fs/cgroup.
# shellcheck shell=bash
cgroup_version() {
    if [ "$(stat -fc %T /sys/fs/cgroup 2>/dev/null)" = cgroup2fs ]; then echo v2; else echo v1; fi
}
