# Variables: UNITS (array), HAPROXY (a unit), MARK, DIRECTORY, LINK, TARGET, STATE, HOOK, and those of packages-found.sh, which stands before this and prints
# its lines first. Then "@@", and what is there of monitoring, one "key value" a line. Read-only.
# shellcheck shell=bash disable=SC2154
echo "@@"
manager=''
for each in apt-get dnf yum; do
    if command -v "$each" >/dev/null; then manager=$each && break; fi
done
echo "manager $manager"
said() { # WORD...: the first word that systemctl says
    local word
    word=$(systemctl "$@" 2>/dev/null)
    word=${word%%[[:space:]]*}
    echo "${word:--}"
}
for unit in "${UNITS[@]}"; do
    echo "unit $unit $(said is-active "$unit") $(said is-enabled "$unit") $(said show "$unit" -p NeedDaemonReload --value)"
done
echo "distribution $(said is-enabled "$HAPROXY")"
yes() { if "$@"; then echo yes; else echo no; fi; }
echo "unproved $(yes test -e "$MARK")"
echo "directory $(yes test -d "$DIRECTORY")"
untold() { [ -s "$STATE" ] && [ ! -e "$TARGET" ]; }
echo "untold $(yes untold)"
tells() { [ -x "$HOOK" ] && grep -q '^metrics)' "$HOOK"; }
echo "hook $(yes tells)"
echo "link $(readlink -- "$LINK")"
true
