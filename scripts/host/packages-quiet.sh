# Variables: QUIET (a unit). Goes before packages-install.sh: the unit that the package brings is neither started nor enabled. Debian's
# packages do both; a mask of the runtime keeps them from starting it, and goes with the host's next boot whatever happens.
# One that is there already is somebody's own, and left as it is.
# shellcheck shell=bash disable=SC2154
state=$(systemctl is-enabled "$QUIET" 2>/dev/null) || true
case $state in
'' | not-found | masked-runtime)
    loud() {
        rm -f -- "/etc/systemd/system/multi-user.target.wants/$QUIET"
        systemctl unmask -q --runtime "$QUIET"
        systemctl disable -q "$QUIET" 2>/dev/null || true
    }
    trap loud EXIT
    systemctl mask -q --runtime "$QUIET"
    ;;
esac
