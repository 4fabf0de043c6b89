# Variables: IMAGES (array). Pulls what is missing, one after the other. Exit 75: a pull failed; it may succeed next time.
# shellcheck shell=bash disable=SC2154
for image in "${IMAGES[@]}"; do
    crictl inspecti -q "$image" >/dev/null 2>&1 || crictl pull "$image" >/dev/null || {
        echo "the image $image is not on this host, and pulling it failed" >&2
        exit 75
    }
done
