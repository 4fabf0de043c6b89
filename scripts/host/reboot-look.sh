# Variables: NOTE (path of the note of a reboot). Prints what a reboot depends on, one "key value" per line: boot (the ID of this boot), state (of
# systemd), kernel (that runs), installed (kernels), required (who asks for a reboot), libc (programs that use one which was replaced), and last
# the note of an earlier run, if there is one. Read-only.
# shellcheck shell=bash disable=SC2154
echo "boot $(</proc/sys/kernel/random/boot_id)"
echo "state $(systemctl is-system-running)"
echo "kernel $(uname -r)"
for file in /boot/vmlinuz-*; do
    [ ! -e "$file" ] || echo "installed ${file#/boot/vmlinuz-}"
done
if [ -e /run/reboot-required ]; then
    echo "required $(sort -u /run/reboot-required.pkgs 2>/dev/null | tr '\n' ' ')"
fi
if [ -x /usr/bin/needs-restarting ]; then # of the Red Hat family; it exits with 1 when a core library or the kernel is newer than what runs
    timeout 20 /usr/bin/needs-restarting -r >/dev/null 2>&1
    [ $? -ne 1 ] || echo "required needs-restarting -r"
fi
# A file that was replaced while a program has it open. Those of containers are no reason: they bring their own.
while read -r maps; do
    pid=${maps#/proc/} && pid=${pid%/maps}
    if name=$(cat "/proc/$pid/comm" 2>/dev/null) && ! grep -q kubepods "/proc/$pid/cgroup" 2>/dev/null; then echo "libc $name"; fi
done < <(grep -lE '/libc(-[0-9.]+\.so|\.so\.6) \(deleted\)$' /proc/[0-9]*/maps 2>/dev/null)
if [ -e "$NOTE" ]; then echo "note $(<"$NOTE")"; fi
true
