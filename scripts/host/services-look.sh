# Variables: UNITS (array), PACKAGES (array), TOP (directory of ours). Prints, read-only:
#   package NAME VERSION, held NAME   as packages-look.sh prints them; its function stands before this
#   unit NAME current|replaced|stopped  replaced: the program that runs is not the file that is installed now
#   tried NAME VERSION NAME VERSION   the packages that were fetched and tried with the configuration as it is now
#   kept NAME VERSION   what was installed then, and was kept
#   trial NAME INSTALLED WANTED   what was installed (none: -) and what was wanted when packages were tried last
# shellcheck shell=bash disable=SC2154
packages_look "${PACKAGES[@]}"
for unit in "${UNITS[@]}"; do
    main=$(systemctl show "$unit" -p MainPID --value)
    if ! systemctl is-active -q "$unit" || [ "${main:-0}" = 0 ]; then
        echo "unit $unit stopped"
    elif [[ $(readlink "/proc/$main/exe") == *' (deleted)' ]]; then
        echo "unit $unit replaced"
    else echo "unit $unit current"; fi
done
sums=$(tail -n +2 "$TOP/tried" 2>/dev/null)
if [ -r "$TOP/tried" ] && [ -d "$TOP/new" ] && { [ -z "$sums" ] || sha256sum -c --status <<<"$sums" 2>/dev/null; }; then
    echo "tried $(head -n 1 "$TOP/tried")"
fi
[ ! -d "$TOP/old" ] || sed -n 's/^./kept &/p' "$TOP/before" 2>/dev/null
sed -n 's/^./trial &/p' "$TOP/trial" 2>/dev/null
true
