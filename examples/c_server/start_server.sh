#!/bin/sh
# Starts the compiled server beside this script, in the foreground.
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
scorer=$here/scorer
if [ ! -f "$scorer" ]; then
    echo "scorer is not built: run make in this folder, then push it again" >&2
    exit 1
fi
if [ ! -x "$scorer" ]; then
    # An upload carries no file modes, and the code folder is read-only.
    copy=$(mktemp -d)/scorer
    cp "$scorer" "$copy"
    chmod 700 "$copy"
    scorer=$copy
fi
exec "$scorer" "$here/weights.csv"
