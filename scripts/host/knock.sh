# Whether something listens there; stands before another script. Variables: none.
# connects ADDRESS PORT SECONDS sets said to "open", "refused", "silent" (no answer in time) or the error, and returns whether it is open.
# knock "ADDRESS PORT"... prints "reach ADDRESS PORT " and that of each, all asked at the same time. No program is started: some hosts ask for
# hundreds.
# shellcheck shell=bash
begin() { # ADDRESS PORT: sets from to what tells of the connection, and job to the process that tries it
    exec {from}< <({ exec 3<>"/dev/tcp/$1/$2" && echo open; } 2>&1)
    job=$!
}
outcome() { # SECONDS: sets said to what from and job have come to
    local line=''
    said=silent
    if read -r -t "$1" line <&"$from"; then said=$line; fi
    exec {from}<&-
    kill "$job" 2>/dev/null
    case $said in
    open | silent) ;;
    *refused*) said=refused ;;
    *) said=${said##*: } ;;
    esac
}
connects() {
    local from job
    begin "$1" "$2"
    outcome "$3"
    [ "$said" = open ]
}
knock() {
    local said from job at left ends froms=() jobs=() some=("${@:1:200}") # each takes an open file
    [ $# -gt 0 ] || return 0
    for at in "${!some[@]}"; do
        begin "${some[at]% *}" "${some[at]#* }"
        froms+=("$from") jobs+=("$job")
    done
    ends=$((${EPOCHREALTIME/[.,]/} + 2500000)) # the first packet may get lost, and is sent again after a second
    for at in "${!some[@]}"; do
        from=${froms[at]} job=${jobs[at]}
        left=2500000 # before bash 5, which has no such clock, each gets its own time
        [ -z "$EPOCHREALTIME" ] || left=$((ends - ${EPOCHREALTIME/[.,]/}))
        ((left >= 10000)) || left=10000
        printf -v left '%d.%06d' $((left / 1000000)) $((left % 1000000))
        outcome "$left"
        echo "reach ${some[at]} ${said:-silent}"
    done
    knock "${@:201}"
}
