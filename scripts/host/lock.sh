# The site's lock on this host. Variables: ACTION (take renew release show break), FILE, ID, HOLDER (one line), SECONDS_LEFT,
# DEAD (the ID of a holder known to be dead, or empty). The file holds three lines: id, expiry (this host's clock), holder.
# Prints the time now, then the file, when another run holds the lock (exit 73), also for ACTION show. Exit 74: the lock of ID is gone.
# shellcheck shell=bash disable=SC2154
set -eu
if [ "$ACTION" = show ] && [ ! -s "$FILE" ]; then exit 0; fi # mostly; it is replaced at once, so never half there
umask 022
mkdir -p -- "$(dirname -- "$FILE")"
exec 9>>"$FILE.guard"
flock -w 10 9 || exit 75
printf -v now '%(%s)T' -1
id='' expires=0
if [ -s "$FILE" ]; then
    { read -r id && read -r expires; } <"$FILE" || true
    [ "$expires" -gt "$now" ] 2>/dev/null || id='' # expired, or no lock file at all
fi
write() {
    printf '%s\n%s\n%s\n' "$ID" "$((now + SECONDS_LEFT))" "$HOLDER" >"$FILE.new"
    sync -- "$FILE.new"
    mv -f -- "$FILE.new" "$FILE"
}
held() {
    echo "$now"
    cat -- "$FILE"
    exit 73
}
case $ACTION in
take) if [ -n "$id" ] && [ "$id" != "$ID" ] && [ "$id" != "$DEAD" ]; then held; else write; fi ;;
renew) if [ "$id" = "$ID" ]; then write; elif [ -n "$id" ]; then held; else exit 74; fi ;;
release) [ "$id" != "$ID" ] || rm -f -- "$FILE" ;;
show) [ -z "$id" ] || held ;;
break) rm -f -- "$FILE" ;;
esac
