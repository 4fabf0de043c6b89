#!/bin/sh
# mmdebstrap runs this on the finished tree ($1), outside of it: turns a minimal Debian into a lab host.
# LAB_RECIPE: this directory. LAB_REPO: where the .deb files for the hosts' own repository go.
set -eu
umask 022
root=$1

# The hosts have no uplink: what a runbook may install there is fetched now, with everything it pulls in.
# Recommends too, because a runbook may or may not ask for them.
echo "I: downloading the packages of the hosts' repository..."
rm -f "$root"/var/cache/apt/archives/*.deb # those that the tree itself is made of
# shellcheck disable=SC2046 # one package a word
APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get -qq --yes --download-only -o APT::Install-Recommends=true install $(cat "$LAB_RECIPE/repo.txt")
mv "$root"/var/cache/apt/archives/*.deb "$LAB_REPO"/
(cd "$LAB_REPO" && APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get -qq download systemd-timesyncd) # not beside chrony in one installation

rm -f "$root/etc/apt/sources.list" "$root"/etc/apt/sources.list.d/*
cp -rT --no-preserve=mode,ownership "$LAB_RECIPE/files" "$root"
chmod 0755 "$root"/usr/local/sbin/lab-*
chmod 0440 "$root/etc/sudoers.d/ops"

# The only source is the lab's; nothing of the way this tree was made stays behind.
rm -f "$root/etc/apt/apt.conf.d/99mmdebstrap" "$root/etc/dpkg/dpkg.cfg.d/99mmdebstrap"
mkdir -p "$root/srv/lab-repo" "$root/var/lib/containerd" "$root/var/lib/kubelet" "$root/var/lib/etcd"

# '*' and not '!': no password can match, but the account is not locked.
chroot "$root" useradd --create-home --shell /bin/bash --password '*' ops
install -d -m 0700 "$root/home/ops/.ssh"
chroot "$root" chown ops:ops /home/ops/.ssh

for unit in lab-net lab-cgroup ssh; do chroot "$root" systemctl --quiet enable "$unit.service"; done
# No terminal, no disk checks, no updates from outside; and each .path unit takes one of the machine's few inotify instances.
for unit in apt-daily.timer apt-daily-upgrade.timer console-getty.service dpkg-db-backup.timer e2scrub_all.timer \
    e2scrub_reap.service fstrim.timer getty.target getty@tty1.service systemd-logind.service \
    systemd-ask-password-console.path systemd-ask-password-wall.path systemd-networkd-wait-online.service \
    systemd-resolved.service systemd-timesyncd.service; do
  ln -sfn /dev/null "$root/etc/systemd/system/$unit"
done

# What makes a host itself is written when its disk is made.
rm -f "$root"/etc/ssh/ssh_host_* "$root/etc/hostname" "$root/var/lib/dbus/machine-id" "$root/etc/resolv.conf"
: > "$root/etc/machine-id"
# Nobody listens there: a lookup fails at once instead of waiting for an answer.
printf 'nameserver 127.0.0.1\noptions timeout:1 attempts:1\n' > "$root/etc/resolv.conf"
