#!/bin/bash
# Builds Kubernetes from Debian's source package, which fetch.sh has unpacked, and the lab's own crictl and pause.
# LAB_WORK: work directory. LAB_RECIPE: this directory. LAB_VERSIONS: stamps such as "v1.20.2 v1.20.3"; with none, only the tools.
# LAB_GOCACHE: where compiled packages go. Results: LAB_WORK/built/VERSION/* and LAB_WORK/built/tools/*.
set -euo pipefail
umask 022
tree=$LAB_WORK/src/k8s.io/kubernetes
go_root=$(echo "$LAB_WORK"/unpacked/usr/lib/go-*)
export GOROOT=$go_root PATH=$go_root/bin:$PATH GOPATH=$LAB_WORK GOCACHE=$LAB_GOCACHE GO111MODULE=off CGO_ENABLED=0 GOFLAGS=
export GOGC=400 # the compiler's own: memory for time
cd "$tree"

# The vendored reflect2 1.0.1 corrupts memory when built with Go 1.18 or newer: every binary answers --version, then the API server
# dies of SIGSEGV. Debian packages 1.0.2.
reflect2=vendor/github.com/modern-go/reflect2
rm -rf "$reflect2"
cp -r "$LAB_WORK"/unpacked/usr/share/gocode/src/github.com/modern-go/reflect2 "$reflect2"

echo "I: building crictl and pause..."
mkdir -p "$LAB_WORK/built/tools"
for tool in crictl pause; do
    mkdir -p "cmd/lab-$tool"
    cp "$LAB_RECIPE/$tool"/*.go "cmd/lab-$tool/"
    go build -trimpath -ldflags "-s -w" -o "$LAB_WORK/built/tools/$tool" "./cmd/lab-$tool"
done
[ -n "$LAB_VERSIONS" ] || exit 0

# The one generated file that the tarball lacks. `make` would want rsync, and takes four times as long.
echo "I: generating the OpenAPI definitions..."
go build -o "$LAB_WORK/openapi-gen" ./vendor/k8s.io/kube-openapi/cmd/openapi-gen
packages=$(grep -Rl --include='*.go' '+k8s:openapi-gen=' vendor/k8s.io cmd pkg plugin |
    grep -vE '^vendor/k8s.io/(code-generator|sample-apiserver|kube-openapi|gengo)/|_test\.go$' |
    xargs -n1 dirname | LC_ALL=C sort -u | sed 's,^,k8s.io/kubernetes/,' | paste -sd,)
"$LAB_WORK/openapi-gen" --logtostderr -i "$packages" -p k8s.io/kubernetes/pkg/generated/openapi -O zz_generated.openapi \
    -h vendor/k8s.io/code-generator/hack/boilerplate.go.txt -r "$LAB_WORK/violations"
cmp "$LAB_WORK/violations" api/api-rules/violation_exceptions.list # as upstream's: the same packages were read

# In GOPATH mode the vendored package's path has the k8s.io/kubernetes/vendor/ prefix; an -X without it is ignored silently.
for version in $LAB_VERSIONS; do
    echo "I: compiling Kubernetes $version..."
    IFS=. read -r major minor _ <<<"${version#v}"
    flags="-s -w"
    for package in component-base client-go/pkg; do
        where=k8s.io/kubernetes/vendor/k8s.io/$package/version
        flags+=" -X $where.gitVersion=$version -X $where.gitMajor=$major -X $where.gitMinor=$minor -X $where.gitTreeState=clean"
    done
    mkdir -p "$LAB_WORK/built/$version"
    # providerless: without the clouds' SDKs, a third of the code, which no on-premises cluster calls.
    go build -trimpath -tags providerless -ldflags "$flags" -o "$LAB_WORK/built/$version/" \
        ./cmd/{kubeadm,kubelet,kubectl,kube-apiserver,kube-controller-manager,kube-scheduler,kube-proxy}
done
