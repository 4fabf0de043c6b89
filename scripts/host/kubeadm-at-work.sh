# Sent before another script. kubeadm_at_work prints the first kubeadm that changes something on this host now, as "PID kubeadm ACTION WORD", or
# nothing. Not one that only reads, nor one that renders into a directory of its own. No more words of it: a token may follow.
# shellcheck shell=bash
kubeadm_at_work() {
    pgrep -ax kubeadm |
        awk '($3 == "init" && $4 != "phase") || $3 ~ /^(join|reset)$/ || ($3 == "certs" && $4 == "renew") || ($3 == "upgrade" && $4 ~ /^(apply|node)$/)' |
        head -n 1 | cut -d' ' -f1-4
}
