# Variables: CHECKOUT, SITE_FILE, WORDS (array: flags). Runs inv backup.status of the checkout on this host. Exit 66: no checkout.
# shellcheck shell=bash disable=SC2154
cd "$CHECKOUT" || exit 66
RUNBOOKS_SITE=$SITE_FILE exec .venv/bin/inv backup.status "${WORDS[@]}"
