# Variables: DIRECTORIES (array). Prints how busy the host is, one "key value" a line; what the kernel does not tell is left out.
# Reads files of /proc and /sys only, so that it stays quick on an overloaded host. Changes nothing.
#   time SECONDS                            since the boot
#   cores NUMBER                            that this host may use
#   load 1MIN 5MIN 15MIN
#   jiffies ALL STEAL                       of all cores since the boot
#   pressure cpu|io|memory some|full PERCENT   average of the last minute
#   memory TOTAL AVAILABLE SWAP SWAP_FREE   KiB
#   connections COUNT LIMIT                 of the connection tracking table
#   limit SERVICE CGROUP PERCENT PERIODS THROTTLED   a CPU limit on a service of the cluster, or on a cgroup above it: percent of one core
#   killed SECONDS host|limit NAME          killed for lack of memory so long ago: the host was short of it, or the program at its own limit
#   readonly MOUNT
# shellcheck shell=bash disable=SC2154,SC2206
read -r up _ </proc/uptime
echo "time $up"
echo "cores $(nproc)"
read -r one five fifteen _ </proc/loadavg
echo "load $one $five $fifteen"
read -r _ user nice system idle iowait irq softirq steal _ </proc/stat # guest time is part of user
echo "jiffies $((user + nice + system + idle + iowait + irq + softirq + steal)) ${steal:-0}"
for kind in cpu io memory; do
    # In a container the cgroup's own file tells about this host, and that of /proc about the whole machine.
    for file in "/sys/fs/cgroup/$kind.pressure" "/proc/pressure/$kind"; do
        [ -r "$file" ] || continue
        while read -r what _ minute _; do echo "pressure $kind $what ${minute#avg60=}"; done <"$file"
        break
    done 2>/dev/null # a kernel started with psi=0 has the files, and refuses to read them
done
total=0 available=0 swap=0 swap_free=0
while read -r key value _; do
    case $key in
    MemTotal:) total=$value ;;
    MemAvailable:) available=$value ;;
    SwapTotal:) swap=$value ;;
    SwapFree:) swap_free=$value ;;
    esac
done </proc/meminfo
echo "memory $total $available $swap $swap_free"
table=/proc/sys/net/netfilter/nf_conntrack
if [ -r "${table}_count" ]; then
    read -r key <"${table}_count"
    read -r value <"${table}_max"
    echo "connections $key $value"
fi

# The mounts at once: a loop that reads them line by line has the kernel begin anew for each, 30 ms for a hundred. Of each cgroup file
# system that is needed, what is mounted there; in a container without a cgroup namespace it is the container's.
root_v1='' root_v2=''
mapfile -t mounts </proc/self/mountinfo
set -f # words are split, and not taken for patterns
for mount in "${mounts[@]}"; do
    [[ $mount == *' /sys/fs/cgroup'* ]] || continue
    words=($mount)
    case ${words[4]} in
    /sys/fs/cgroup/cpu) root_v1=${words[3]%/} ;;
    /sys/fs/cgroup) root_v2=${words[3]%/} ;;
    esac
done
set +f
limits() { # SERVICE PID: the CPU limits of the cgroup of this process, and of those above it
    local service=$1 controllers path top root quota period periods throttled key value
    while IFS=: read -r _ controllers path; do
        case ",$controllers," in
        *,cpu,*) top=/sys/fs/cgroup/cpu root=$root_v1 ;;
        ,,) top=/sys/fs/cgroup root=$root_v2 ;;
        *) continue ;;
        esac
        path=${path#"$root"}
        path=${path%/}/. # the last one is the top itself: in a container it may have a limit
        while [ -n "$path" ]; do
            path=${path%/*}
            quota=-1 period=100000 periods=0 throttled=0
            if [ -r "$top$path/cpu.max" ]; then
                read -r quota period <"$top$path/cpu.max"
            elif [ -r "$top$path/cpu.cfs_quota_us" ]; then
                read -r quota <"$top$path/cpu.cfs_quota_us"
                read -r period <"$top$path/cpu.cfs_period_us"
            fi
            if [[ $quota =~ ^[0-9]+$ ]]; then
                while read -r key value; do
                    case $key in
                    nr_periods) periods=$value ;;
                    nr_throttled) throttled=$value ;;
                    esac
                done <"$top$path/cpu.stat"
                echo "limit $service ${path:-/} $((100 * quota / period)) $periods $throttled"
            fi
        done
    done <"/proc/$2/cgroup"
}
for entry in /proc/[0-9]*; do
    name=''
    read -r name <"$entry/comm"
    case $name in
    kubelet | containerd | etcd | kube-apiserver | kube-controller | kube-scheduler | haproxy | keepalived) limits "$name" "${entry#/proc/}" ;;
    esac
done 2>/dev/null

# The log of the kernel is that of the whole machine: it is not this host's in a container.
if [ ! -e /run/systemd/container ] && ! grep -qsx 'oom_kill 0' /proc/vmstat; then
    # "[ 4711.123456] Out of memory: Killed process 123 (etcd) ..."; before Linux 5 "Kill process".
    timeout 5 dmesg 2>/dev/null | tail -n 5000 |
        sed -nE 's/^\[ *([0-9]+)\.[0-9]+\] (Memory cgroup )?[Oo]ut of memory: Kill(ed)? process [0-9]+ \(([^)]*)\).*/\1,\2,\4/p' | tail -n 20 |
        while IFS=, read -r at limit name; do
            if [ -n "$limit" ]; then limit=limit; else limit=host; fi
            echo "killed $((${up%.*} - at)) $limit ${name// /_}"
        done
fi
# Some systems have a root that is read-only by design; there /var and /etc are mounts of their own. So / itself is not asked for.
there=()
for directory in "${DIRECTORIES[@]}" /etc; do
    if [ "$directory" != / ] && [ -d "$directory" ]; then there+=("$directory"); fi
done
mapfile -t mounts </proc/mounts
asked=''
df --output=target -- "${there[@]}" 2>/dev/null | while read -r target; do
    how=''
    [[ $asked != *"|$target|"* ]] || continue
    asked+="|$target|"
    set -f
    for mount in "${mounts[@]}"; do # the last one that is mounted there is in force
        [[ $mount == *" $target "* ]] || continue
        words=($mount)
        if [ "${words[1]}" = "$target" ]; then how=${words[3]}; fi
    done
    set +f
    if [[ ,$how, == *,ro,* ]]; then echo "readonly $target"; fi
done
true
