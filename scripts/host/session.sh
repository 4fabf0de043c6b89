# sshd starts this script for every command. Standard input: a line "bytes seconds", then a program of that many bytes; it then
# stays open as long as the operator's process lives. When it closes early (Ctrl-C, a crash, a lost connection), the program and
# everything that it started are ended. The program is never on a command line. Exit 75: the program did not arrive complete.
# A line "bytes seconds given": the next "given" bytes are the program's own standard input.
# shellcheck shell=bash
export LC_ALL=C
umask 077
grace=10
echo ha-runbooks
IFS=' ' read -r bytes seconds given
program=$(head -c "${bytes:-0}" && echo .) # the dot keeps the line breaks at its end
program=${program%.}
[ "${#program}" = "$bytes" ] || exit 75 # half a command may be another command
exec 4<&0
feeder=''
if [ -n "$given" ]; then exec 5< <(head -c "$given" <&4) && feeder=$!; else exec 5</dev/null; fi
# The program first closes the descriptor that it is read from (bash has its own copy), so that its child processes cannot read it.
setsid timeout -k "$grace" "$seconds" bash -o pipefail /dev/fd/3 3< <(printf 'exec 3<&-\n%s\n' "$program") 4<&- <&5 5<&- &
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
end </dev/null >/dev/null 2>&1 4<&- &
exit "$code"
