#!/bin/sh
# Makes a throw-away soft token of opencryptoki whose objects are in FOLDER, starts its daemon, and prints how tests
# find it:
#
#     eval "$(hsm/opencryptoki/up.sh FOLDER)"
#
# Run again it prints the same. `hsm/opencryptoki/down.sh` stops the daemon and gives the machine its own configuration
# back. Linux only, as root: pkcsslotd, its configuration and its locks are root's. Whoever is to use the token must be
# in the group pkcs11.
set -eu
# shellcheck source=/dev/null
. "$(dirname "$0")/../token.sh"
# shellcheck source=/dev/null
. "$(dirname "$0")/slot.sh"

[ $# -eq 1 ] || die "usage: $0 FOLDER"
[ "$(id -u)" -eq 0 ] || die "opencryptoki's daemon runs as root; run this as root"
install_for pkcsslotd opencryptoki 'opencryptoki opencryptoki-swtok' -

folder=$(make_folder "$1")
module=$(first_file /usr/lib/*/opencryptoki/libopencryptoki.so.0 /usr/lib64/opencryptoki/libopencryptoki.so.0 \
    /usr/lib64/pkcs11/libopencryptoki.so)

if slot_daemon_runs; then
    [ "$(readlink "$TOKEN")" = "$folder/token" ] ||
        die "pkcsslotd already runs for something else; stop it, or hsm/opencryptoki/down.sh"
else
    say "starting pkcsslotd with one soft token in $folder"
    [ -e "$SAVED" ] || cp -p "$CONFIGURATION" "$SAVED"
    cat >"$CONFIGURATION" <<END
version opencryptoki-3.1
slot 0
{
stdll = libpkcs11_sw.so
tokname = $LABEL
description = "$LABEL"
}
END
    chgrp pkcs11 "$folder" && chmod 750 "$folder"
    install -d -m 770 -g pkcs11 "$folder/token" "$folder/token/TOK_OBJ" "$LOCKS" /var/log/opencryptoki
    ln -sfn "$folder/token" "$TOKEN"
    pkcsslotd >&2
    wait_for test -S /var/run/pkcsslotd.socket || die "pkcsslotd did not start; see the system log"
fi

if [ ! -e "$folder/pin" ]; then
    umask 077
    random_pin >"$folder/so-pin"
    random_pin >"$folder/pin.new"
    so_pin=$(cat "$folder/so-pin")
    # pkcsconf takes PINs as arguments; these protect a token that protects nothing. 87654321 is every new token's.
    {
        printf '%s\n' "$LABEL" | pkcsconf -c 0 -I -S 87654321
        pkcsconf -c 0 -P -S 87654321 -n "$so_pin"
        pkcsconf -c 0 -u -S "$so_pin" -n "$(cat "$folder/pin.new")"
    } >&2
    chgrp pkcs11 "$folder/pin.new" && chmod 640 "$folder/pin.new"
    mv "$folder/pin.new" "$folder/pin"
fi

print_environment "$module" "$folder/pin"
