# Variables: SERVER (URL of this host's API server), LARGEST (bytes: how much of the audit log is read, from its end). Read-only.
#   clock SECONDS        this host's
#   metric LINE          of the API server's metrics: requests of deprecated APIs, stored objects by resource, the start of the process
#   error TEXT           why the metrics could not be read
#   audit PATH TIME      the audit log, and the time of the first event that was read
#   noaudit TEXT         why there is none to be read
#   user COUNT<TAB>USER<TAB>USER-AGENT<TAB>GROUP/VERSION<TAB>RESOURCE<TAB>REMOVED-IN   who asked for a deprecated API, by the audit log
# shellcheck shell=bash disable=SC2154
scratch=$(mktemp -d) || exit
trap 'trap "" TERM HUP INT; rm -rf -- "$scratch"' EXIT
printf 'clock %(%s)T\n' -1
if kubectl --kubeconfig=/etc/kubernetes/admin.conf --server="$SERVER" --request-timeout=20s get --raw /metrics \
    >"$scratch/metrics" 2>"$scratch/error" </dev/null; then
    grep -E '^(apiserver_requested_deprecated_apis|apiserver_storage_objects|apiserver_resource_objects|etcd_object_counts|process_start_time_seconds)[{ ]' \
        "$scratch/metrics" | sed 's/^/metric /'
else
    echo "error $(tr '\n' ' ' <"$scratch/error")"
fi
path=$(sed -n 's/^ *- --audit-log-path=//p' /etc/kubernetes/manifests/kube-apiserver.yaml 2>/dev/null | tail -n 1 | tr -d "\"'")
if [ -z "$path" ]; then
    echo "noaudit the API server writes no audit log"
elif [ ! -r "$path" ]; then
    echo "noaudit $path is not on the host under this path"
else
    tail -c "$LARGEST" -- "$path" >"$scratch/audit"
    first=$(grep -om 1 '"requestReceivedTimestamp":"[^"]*"' "$scratch/audit")
    first=${first#*:\"}
    echo "audit $path ${first%\"}"
    grep -F '"k8s.io/removed-release":"' "$scratch/audit" | grep -F '"stage":"ResponseComplete"' | awk '
        function of(key, all,    rest) {
            if (!match(all, "\"" key "\":\"[^\"]*\"")) return "";
            rest = substr(all, RSTART, RLENGTH); sub("^\"" key "\":\"", "", rest); sub("\"$", "", rest); gsub("\t", " ", rest); return rest
        }
        {
            object = match($0, "\"objectRef\":[{][^}]*[}]") ? substr($0, RSTART, RLENGTH) : "";
            user = match($0, "\"user\":[{].*") ? substr($0, RSTART) : "";
            key = of("username", user) "\t" of("userAgent", $0) "\t" of("apiGroup", object) "/" of("apiVersion", object)
            count[key "\t" of("resource", object) "\t" of("k8s.io/removed-release", $0)]++
        }
        END { for (key in count) print "user " count[key] "\t" key }' | sort -k2nr | head -n 100
fi
true
