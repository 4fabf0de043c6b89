# Variables: DIRECTORY (etcd's). How long a write of 2300 bytes takes to be safe on its disk, as etcd writes its log: what a running
# etcd has counted ("bucket LE NUMBER" lines), or a measurement of two seconds in a scratch directory: "fsync TOOL p99|mean MS NUMBER",
# "fio BASE64". "fsync none REASON" when it cannot be told.
# shellcheck shell=bash disable=SC2154
bytes=2300 writes=1000 # 2300 bytes: https://etcd.io/docs/v3.5/faq/ -> "fio ... --bs=2300"
# shellcheck disable=SC2016
counted=$(timeout 2 bash -c 'exec 3<>/dev/tcp/127.0.0.1/2381 && printf "GET /metrics HTTP/1.0\r\n\r\n" >&3 && cat <&3' 2>/dev/null |
    sed -n 's/^etcd_disk_wal_fsync_duration_seconds_bucket{le="\([^"]*\)"} \([0-9.e+]*\).*/bucket \1 \2/p')
if [ -n "$counted" ]; then
    echo "$counted"
    exit 0
fi
# A scratch directory that is left behind by a power failure must not be in etcd's own, which kubeadm wants to find empty.
parent=${DIRECTORY%/*} there=$DIRECTORY
until [ -d "$parent" ]; do parent=${parent%/*} parent=${parent:-/}; done
if [ -d "$there" ] && [ "$(stat -c %d "$there")" != "$(stat -c %d "$parent")" ]; then parent=$there; fi
read -r free < <(df -B1 --output=avail -- "$parent" | tail -n 1)
if [ "${free:-0}" -lt 100000000 ]; then
    echo "fsync none the disk is full"
    exit 0
fi
scratch=$(mktemp -d "$parent/.ha-runbooks-fsync.XXXXXXXX") || {
    echo "fsync none no file can be made in $parent"
    exit 0
}
# shellcheck disable=SC2064
trap "rm -rf -- '$scratch'" EXIT
trap 'exit 1' TERM INT HUP # comes when the tool has ended: in the foreground, timeout lets it be ended with us
file=$scratch/log
# etcd allocates its log before it writes to it; so a write changes no file's length.
fallocate -l $((bytes * writes)) "$file" 2>/dev/null || head -c $((bytes * writes)) /dev/zero >"$file"
sync -d "$file" 2>/dev/null
python=$(command -v python3 || command -v /usr/libexec/platform-python)
if command -v fio >/dev/null && said=$(cd "$scratch" && timeout --foreground 20 fio --rw=write --ioengine=sync --fdatasync=1 --directory="$scratch" \
    --size=22m --bs=$bytes --name=log --runtime=2 --output-format=json 2>/dev/null); then
    echo "fio $(base64 -w0 <<<"$said")"
elif [ -n "$python" ] && said=$(timeout --foreground 20 "$python" -I - "$file" $bytes $writes 2>/dev/null <<'END'
import os, sys, time
path, size, most = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
out, block, took, end = os.open(path, os.O_WRONLY | os.O_DSYNC), b"x" * size, [], time.monotonic() + 2
while len(took) < most and time.monotonic() < end:
    start = time.perf_counter()
    os.write(out, block)
    took.append((time.perf_counter() - start) * 1000)
print("p99 %.3f %d" % (sorted(took)[int(len(took) * 0.99)], len(took)))
END
); then
    echo "fsync python3 $said"
elif command -v perl >/dev/null && said=$(timeout --foreground 20 perl - "$file" $bytes $writes 2>/dev/null <<'END'
use strict; use Fcntl; use Time::HiRes 'time';
my ($path, $size, $most) = @ARGV;
sysopen(my $out, $path, O_WRONLY | O_DSYNC) or die;
my ($block, $end, @took) = ("x" x $size, time + 2);
while (@took < $most && time < $end) { my $start = time; syswrite($out, $block) == $size or die; push @took, (time - $start) * 1000; }
@took = sort { $a <=> $b } @took;
printf "p99 %.3f %d\n", $took[int(@took * 0.99)], scalar @took;
END
); then
    echo "fsync perl $said"
else
    # dd tells only how long all of them took. SIGINT makes it say so before its end.
    said=$(timeout --foreground -s INT 2 dd if=/dev/zero of="$file" bs=$bytes count=$writes oflag=dsync conv=notrunc 2>&1)
    awk -v said="${said##*$'\n'}" '/records out/ { split($1, part, "+"); number = part[1] } /copied,/ { sub(/.*copied, /, ""); seconds = $1 }
        END {
            if (number && seconds) printf "fsync dd mean %.3f %d\n", seconds * 1000 / number, number
            else print "fsync none no write was finished in two seconds: " said
        }' <<<"$said"
fi
true
