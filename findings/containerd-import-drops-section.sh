#!/bin/bash
# containerd 1.6.20 merges a file of `imports` plugin by plugin, not key by key: a drop-in that sets one key of
# plugins."io.containerd.grpc.v1.cri" takes the place of all that config.toml says below that name. Exit status 0 and no word on standard
# error; `containerd config dump` shows the built-in pause image and cgroup driver again.
# Where it matters: a registry's directory or a runtime kept in a file of its own beside the kubelet's settings. The node goes on until
# containerd restarts, and then has the cgroupfs driver below a kubelet with systemd. Keep all of CRI in one file; drop-ins are for other plugins.
# Exits 0 while that is so, 1 once it has changed. Needs apt-get with the package of Debian 12; starts no daemon and connects to nothing else.
set -euo pipefail
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"
apt-get -q download 'containerd=1.6.20~ds1-1*' >/dev/null 2>&1
dpkg -x containerd_*.deb root
cat >config.toml <<TOML
version = 2
imports = ["$directory/registry.toml"]

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "pause.example/pause:3.9"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  SystemdCgroup = true
TOML
cat >registry.toml <<'TOML'
version = 2

[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = "/etc/containerd/certs.d"
TOML
said() { sed -n "s/^ *$1 = //p" "$2" | sort -u; }
root/usr/bin/containerd --config config.toml config dump >both 2>words
sed -i '/^imports/d' config.toml
root/usr/bin/containerd --config config.toml config dump >alone 2>>words
echo "$(root/usr/bin/containerd --version | cut -d' ' -f3): without the import: pause image $(said sandbox_image alone), SystemdCgroup $(said SystemdCgroup alone);" \
    "with it: $(said sandbox_image both), $(said SystemdCgroup both), config_path $(said config_path both); $(wc -c <words) bytes on standard error"
[ "$(said sandbox_image alone) $(said SystemdCgroup alone)" = '"pause.example/pause:3.9" true' ]
[ "$(said SystemdCgroup both) $(said config_path both) $(wc -c <words)" = 'false "/etc/containerd/certs.d" 0' ]
[ "$(said sandbox_image both)" != '"pause.example/pause:3.9"' ]
