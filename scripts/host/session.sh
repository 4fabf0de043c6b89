# Every command on a host goes through this script; engine/start.py sends it and starts it with bash. Standard input: a line
# "bytes seconds", then a program of that many bytes; it then stays open as long as the operator's process lives. When it closes
# early (Ctrl-C, a crash, a lost connection), the program and everything that it started are ended. The program is never on a command
# line. Exit 75: the program did not arrive complete. A line "bytes seconds given": the next "given" bytes are the program's own
# standard input.
# The first line on both outputs is our mark: what comes before it was printed by start-up files of the login shell, or by sudo.
# The program gets a clean environment, so that no variable of the host (/etc/environment, sudo's env_keep) changes what it does.
# Variables for proxies are given to it in the array "proxies", for programs that need them: package managers.
# shellcheck shell=bash
mark='@@ha-runbooks-6f1d0e6bb2c94a9f'
export LC_ALL=C
umask 077
grace=10
echo "$mark"
echo "$mark" >&2
IFS=' ' read -r bytes seconds given
IFS= read -r -N "${bytes:-0}" program
[ "${#program}" = "$bytes" ] || exit 75 # half a command may be another command
proxies=''
for name in {http,https,ftp,all,no}_proxy {HTTP,HTTPS,FTP,ALL,NO}_PROXY; do
    if [ -n "${!name-}" ]; then printf -v word '%q ' "$name=${!name}" && proxies+=$word; fi
done
clean=("PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" LC_ALL=C)
for name in HOME USER LOGNAME SHELL; do clean+=("$name=${!name-}"); done
exec 4<&0
feeder=''
if [ -n "$given" ]; then exec 5< <(head -c "$given" <&4) && feeder=$!; else exec 5</dev/null; fi
# The program first closes the descriptor that it came by, so that its child processes do not have it. Given to bash as the file of a script
# it would be read byte by byte, which takes half of a short program's time.
# shellcheck disable=SC2016
setsid env -i "${clean[@]}" timeout -k "$grace" "$seconds" bash -o pipefail -c 'eval "$(</dev/fd/3)"' \
    3< <(printf 'exec 3<&-; proxies=(%s)\n%s\n' "$proxies" "$program") 4<&- <&5 5<&- &
job=$!
exec 5<&-
end() {
    kill -TERM -- "-$job" || return
    for ((i = 0; i < grace * 50; i++)); do
        kill -0 -- "-$job" || return
        sleep 0.02
    done
    kill -KILL -- "-$job"
}
{
    while [ -n "$feeder" ] && kill -0 "$feeder"; do sleep 0.05; done # what is given is no line of ours
    read -r _ <&4
    until kill -0 -- "-$job" || ! kill -0 "$job"; do sleep 0.01; done # the operator may be gone before the group is there
    end
} >/dev/null 2>&1 &
lifeline=$!
wait "$job"
code=$?
kill "$lifeline" 2>/dev/null
# End what the program left running: it would delay the answer, and go on without control.
if kill -0 -- "-$job" 2>/dev/null; then end </dev/null >/dev/null 2>&1 4<&- & fi
exit "$code"
