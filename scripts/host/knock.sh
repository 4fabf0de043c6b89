# Whether something listens there; stands before another script. Variables: none.
# connects ADDRESS PORT SECONDS sets said to "open", "refused", "silent" (no answer in time) or the error, and returns whether it is open.
# knock ADDRESS PORT prints "reach ADDRESS PORT " and that. No program is started: some hosts ask for hundreds.
# shellcheck shell=bash
connects() {
    local from job line=''
    said=silent
    exec {from}< <({ exec 3<>"/dev/tcp/$1/$2" && echo open; } 2>&1)
    job=$!
    if read -r -t "$3" line <&"$from"; then said=$line; fi
    exec {from}<&-
    kill "$job" 2>/dev/null
    case $said in
    open | silent) ;;
    *refused*) said=refused ;;
    *) said=${said##*: } ;;
    esac
    [ "$said" = open ]
}
knock() {
    local said
    connects "$1" "$2" 2.5 # the first packet may get lost, and is sent again after a second
    echo "reach $1 $2 ${said:-silent}"
}
