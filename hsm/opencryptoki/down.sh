#!/bin/sh
# Stops what up.sh started and gives opencryptoki its own configuration back. The folder with the token stays: up.sh
# finds it again. May be run twice.
set -eu
# shellcheck source=/dev/null
. "$(dirname "$0")/../token.sh"
# shellcheck source=/dev/null
. "$(dirname "$0")/slot.sh"

slot_daemon_stopped() {
    ! slot_daemon_runs
}

[ -e "$SAVED" ] || exit 0
[ "$(id -u)" -eq 0 ] || die "opencryptoki's daemon runs as root; run this as root"
if slot_daemon_runs; then
    kill "$(cat "$PID_FILE")"
    wait_for slot_daemon_stopped || die "pkcsslotd does not stop; is a process still using the token?"
fi
rm -f "$PID_FILE" "$TOKEN" "/dev/shm/var.lib.opencryptoki.$LABEL"
rm -rf "$LOCKS"
mv "$SAVED" "$CONFIGURATION"
