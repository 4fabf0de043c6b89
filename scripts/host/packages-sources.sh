# Variables: none. Sets PATHS for files-found.sh, which stands after this: the files of package repositories on this host whose lines name
# a repository of one minor version of Kubernetes in its path: a folder v1.36 with deb or rpm below it. Also those that are disabled.
# shellcheck shell=bash disable=SC2034
shopt -s nullglob
mapfile -t PATHS < <(grep -lsE '/v1\.[0-9]+/(deb|rpm)(/|[[:space:]]|$)' \
    /etc/apt/sources.list /etc/apt/sources.list.d/*.{list,sources} /etc/yum.repos.d/*.repo)
