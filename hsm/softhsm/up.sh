#!/bin/sh
# Makes a throw-away SoftHSM 2 token in FOLDER, with its own configuration, and prints how tests find it:
#
#     eval "$(hsm/softhsm/up.sh FOLDER)"
#
# Run again it prints the same. Remove FOLDER to remove the token.
set -eu
# shellcheck source=/dev/null
. "$(dirname "$0")/../token.sh"

[ $# -eq 1 ] || die "usage: $0 FOLDER"
install_for softhsm2-util softhsm2 softhsm softhsm

folder=$(make_folder "$1")
SOFTHSM2_CONF=$folder/softhsm2.conf
export SOFTHSM2_CONF
homebrew=$(command -v brew >/dev/null && brew --prefix || echo /opt/homebrew)
module=$(first_file /usr/lib/softhsm/libsofthsm2.so /usr/lib/*/softhsm/libsofthsm2.so /usr/lib64/pkcs11/libsofthsm2.so \
    /usr/lib64/softhsm/libsofthsm.so "$homebrew/lib/softhsm/libsofthsm2.so" /usr/local/lib/softhsm/libsofthsm2.so)

if [ ! -e "$folder/pin" ]; then
    umask 077
    mkdir -p "$folder/tokens"
    printf '%s\n' "directories.tokendir = $folder/tokens" 'objectstore.backend = file' 'log.level = ERROR' >"$SOFTHSM2_CONF"
    random_pin >"$folder/so-pin"
    random_pin >"$folder/pin.new"
    # softhsm2-util takes PINs as arguments only; these protect a token that protects nothing.
    softhsm2-util --module "$module" --init-token --free --label "$LABEL" \
        --so-pin "$(cat "$folder/so-pin")" --pin "$(cat "$folder/pin.new")" >&2
    mv "$folder/pin.new" "$folder/pin"
fi

print_environment "$module" "$folder/pin"
export_line SOFTHSM2_CONF "$SOFTHSM2_CONF"
