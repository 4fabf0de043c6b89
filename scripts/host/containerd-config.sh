# Variables: DEFAULT (yes or no). Needs the functions of containerd-own.sh before it. Prints `containerd config dump`: what is in force, in the format of
# that containerd, without passwords. With DEFAULT, a line "@@ default" and what it would be without any file follow. Read-only.
# shellcheck shell=bash disable=SC2154
if [ -e /etc/containerd/config.toml ] || [ "$DEFAULT" = no ]; then
    containerd_all || exit
else # it starts without a file, but does not dump then
    GOGC=off timeout 10 containerd config default || exit
fi
if [ "$DEFAULT" = yes ]; then
    echo "@@ default"
    GOGC=off timeout 10 containerd config default
fi
