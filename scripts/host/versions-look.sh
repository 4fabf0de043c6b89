# Variables: none. Needs the function of packages-look.sh before it. Prints the versions of Kubernetes' parts on this host, one "key
# value" per line; changes nothing but its own memory in /run:
#   package NAME VERSION, held NAME   as packages-look.sh prints them
#   program NAME TEXT   what the installed program says of itself
#   runs NAME TEXT      what the file of the running process says of itself, also when a newer one has been installed since
#   image NAME IMAGE    of each static pod, in its manifest
#   joined yes, kernel TEXT, os TEXT
# shellcheck shell=bash
packages_look kubeadm kubelet kubectl containerd containerd.io cri-tools kubernetes-cni
if [ -e /etc/kubernetes/kubelet.conf ]; then echo joined yes; fi
echo "kernel $(uname -r)"
sed -n 's/^PRETTY_NAME=//p' /etc/os-release 2>/dev/null | tr -d \" | sed 's/^/os /'
for file in /etc/kubernetes/manifests/*.yaml; do
    name=${file##*/}
    image=$(sed -n "s/^ *image: *//p" "$file" 2>/dev/null | head -n 1 | tr -d "\"'")
    if [ -n "$image" ]; then echo "image ${name%.yaml} $image"; fi
done
kept=/run/ha-runbooks-versions # in memory: a program that is the same file says the same again. Starting all of them takes two seconds of CPU
mkdir -p "$kept"               # 0700: umask 077
tell() { # KEY NAME FILE COMMAND...: nothing when it does not answer
    local said file
    file=$kept/$2-$(stat -L -c %d-%i-%s-%Y "$3" 2>/dev/null) || return
    if [ ! -s "$file" ]; then
        said=$(timeout 10 "${@:4}" 2>/dev/null </dev/null | head -n 3)
        [ -n "$said" ] || return
        echo "${said//$'\n'/ }" >"$file.$BASHPID"
        mv -f -- "$file.$BASHPID" "$file"
    fi
    echo "$1 $2 $(<"$file")"
}
program() { tell program "$1" "$(command -v "$1")" "$@"; }
# At the same time: each of these programs takes a good part of a second to start. Lines this short are not mixed up.
program kubeadm version -o short &
program kubelet --version &
program kubectl version --client &
program containerd --version &
for name in kubelet containerd etcd kube-apiserver kube-controller-manager kube-scheduler kube-proxy; do
    for pid in $(pgrep -x "${name:0:15}"); do tell runs "$name" "/proc/$pid/exe" "/proc/$pid/exe" --version & done # the kernel keeps 15 characters
done
wait
