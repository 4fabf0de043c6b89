# Variables: CHECKOUT, SITE_FILE, WORDS (array). What the checkout on this host says of its own backups.
# shellcheck shell=bash disable=SC2154
cd "$CHECKOUT" || exit 66
RUNBOOKS_SITE=$SITE_FILE exec .venv/bin/inv backup.status "${WORDS[@]}"
