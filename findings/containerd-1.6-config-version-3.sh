#!/bin/bash
# containerd 1.6.20 accepts a configuration file of version 3, the format of containerd 2: exit status 0 and no word on standard error. It
# drops the sections of that format, so the pause image, the registries' directory and the cgroup driver in it are not in force: `containerd
# config dump` shows the built-in values. containerd 1.7.24 refuses the same file and names the version.
# Where it matters: one configuration file for hosts with different versions of containerd, or a downgrade. Everything starts, with another
# pause image and without SystemdCgroup; only `containerd config dump` tells. Write version 2 for 1.6 and 1.7.
# Exits 0 while that is so, 1 once it has changed. Needs apt-get with the package of Debian 12; starts no daemon and connects to nothing else.
set -euo pipefail
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"
apt-get -q download 'containerd=1.6.20~ds1-1*' >/dev/null 2>&1
dpkg -x containerd_*.deb root
cat >config.toml <<'TOML'
version = 3

[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "registry.k8s.io/pause:3.10"

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
  SystemdCgroup = true
TOML
code=0
root/usr/bin/containerd --config config.toml config dump >in-force 2>said || code=$?
pause=$(sed -n 's/^ *sandbox_image = //p' in-force)
driver=$(sed -n 's/^ *SystemdCgroup = //p' in-force | sort -u)
echo "$(root/usr/bin/containerd --version | cut -d' ' -f3): exit status $code, $(wc -c <said) bytes on standard error; in force: pause image $pause, SystemdCgroup $driver"
[ "$code $(wc -c <said) $driver" = "0 0 false" ] && [ "$pause" != '"registry.k8s.io/pause:3.10"' ]
