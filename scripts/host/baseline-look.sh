# Variables: MODULES, SYSCTLS (paths below /proc/sys), TIME_SERVICES (units), PATHS (arrays), CHRONY_FILE, RECORD. Needs module-look.sh before it. What a
# host has of what `baseline` in hosts.yaml may name, one "key value" a line. Read-only.
# shellcheck shell=bash disable=SC2154
for path in "${PATHS[@]}"; do [ ! -L "$path" ] || echo "link $path"; done
modules_look
for key in "${SYSCTLS[@]}"; do # "=" stands before a value, which may be empty
    if [ ! -e "/proc/sys/$key" ]; then
        echo "sysctl $key missing"
    elif value=$(cat "/proc/sys/$key" 2>/dev/null); then
        echo "sysctl $key =${value%%$'\n'*}"
    else
        echo "sysctl $key ?"
    fi
done
[ "${#SYSCTLS[@]}" = 0 ] || sed 's/^/made /' "$RECORD" 2>/dev/null # see baseline-kernel.sh
# What systemd-sysctl reads at boot, in its order.
[ "${#SYSCTLS[@]}" = 0 ] || systemd-analyze cat-config sysctl.d 2>/dev/null | sed -n 's|^# \(/.*\.conf\)$|boot # \1|p; /^[[:space:]]*[#;]/d; /=\|[*?[]/s/^/boot /p'
# A unit that has never been started has the condition "no" too, and no time of its check.
systemctl show -p Id -p LoadState -p ActiveState -p UnitFileState -p ConditionResult -p ConditionTimestampMonotonic -- "${TIME_SERVICES[@]/%/.service}" 2>/dev/null |
    awk -F= '
        function done_() {
            if (got["LoadState"] != "" && got["LoadState"] != "not-found" && !(got["Id"] in told)) {
                told[got["Id"]] = 1; id = got["Id"]; sub(/\.service$/, "", id)
                barred = got["ConditionResult"] == "no" && got["ConditionTimestampMonotonic"] + 0 > 0 ? "yes" : "no"
                print "unit", id, got["LoadState"], got["ActiveState"], got["UnitFileState"] == "" ? "-" : got["UnitFileState"], barred
            }
            split("", got)
        }
        $0 == "" { done_(); next }
        { got[$1] = $2 }
        END { done_() }'
[ ! -e /run/ha-runbooks/baseline-time-pending ] || echo "pending yes"
for path in "${CHRONY_FILE%/*}"/*.conf; do
    [ "$path" = "$CHRONY_FILE" ] || grep -lsiE '^[[:space:]]*(server|pool|peer)[[:space:]]' -- "$path" | sed 's/^/more /'
done
if command -v apt-get >/dev/null; then echo "apt yes"; fi
if grep -rqsE '^[[:space:]]*manage_etc_hosts:[[:space:]]*["'\'']?([Tt]rue|yes|on|template)' /etc/cloud/cloud.cfg /etc/cloud/cloud.cfg.d; then echo "cloud yes"; fi
true
