# What sshd starts for every command. Standard input carries "bytes seconds", then a program of that many bytes, and then
# stays open for as long as the operator's side lives: when it closes early (Ctrl-C, a crash, a lost connection), the program
# and all that it started are ended. The program itself is never on a command line.
# shellcheck shell=bash
export LC_ALL=C
umask 077
echo ha-runbooks
IFS=' ' read -r bytes seconds
program=$(head -c "$bytes")
exec 4<&0
# The program first closes the descriptor that it is read from (bash has its own by then), or what it starts could read it.
setsid timeout -k 10 "$seconds" bash -o pipefail /dev/fd/3 3< <(printf 'exec 3<&-\n%s\n' "$program") 4<&- </dev/null &
job=$!
{
    read -r _ <&4
    kill -TERM -- "-$job"
    sleep 10
    kill -KILL -- "-$job"
} >/dev/null 2>&1 &
lifeline=$!
wait "$job"
code=$?
kill "$lifeline" 2>/dev/null
exit "$code"
