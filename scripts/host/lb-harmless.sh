# Which complaints of `keepalived -t` do not count; stands before another script. It ends with an error also for two warnings, although
# keepalived runs so: of passwords and scripts that others wrote.
# shellcheck shell=bash
harmless() { # FILE: whether what it said is nothing else than that
    [ -s "$1" ] && ! grep -vqE 'Truncating auth_pass to 8 characters|SECURITY VIOLATION - scripts are being executed but script_security not enabled|^$' "$1"
}
