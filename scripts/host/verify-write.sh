# Variables: SERVER (URL of the API server as clients see it), COLLECTION (API path), NAME, MANIFEST (JSON of that name), WORD.
# Needs api-ask.sh before it.
# Creates one small object, reads it back and deletes it again, whatever happens in between. One line for each that was done:
# "created|read|deleted MILLISECONDS" (read only when WORD is in it); "failed ERROR" when one was not.
# shellcheck shell=bash disable=SC2154
failed() {
    echo "failed $1 ${2//$'\n'/ }"
    exit 0
}
took() {
    local now=${EPOCHREALTIME/./}
    echo "$1 $(((now - began) / 1000))"
    began=$now
}
began=${EPOCHREALTIME/./}
there=yes
# An answer that was lost may have followed a write that was made, so it is always taken away again.
trap 'if [ "$there" ]; then api delete "$SERVER" 5 "$COLLECTION/$NAME" >/dev/null; fi' EXIT
said=$(api create "$SERVER" 5 "$COLLECTION" "$MANIFEST") || failed create "$said"
took created
said=$(api get "$SERVER" 5 "$COLLECTION/$NAME") || failed get "$said"
[[ $said == *"$WORD"* ]] || failed get "$said"
took read
said=$(api delete "$SERVER" 5 "$COLLECTION/$NAME") || failed delete "$said"
there=''
took deleted
