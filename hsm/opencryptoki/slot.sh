# What up.sh and down.sh share. opencryptoki's paths are compiled in, so there is one such token on a machine.
# shellcheck shell=sh disable=SC2034

CONFIGURATION=/etc/opencryptoki/opencryptoki.conf
SAVED=$CONFIGURATION.before-$LABEL
TOKEN=/var/lib/opencryptoki/$LABEL # a link into the folder
LOCKS=/var/lock/opencryptoki/$LABEL
PID_FILE=/var/run/pkcsslotd.pid

# Whether pkcsslotd runs. In a container nobody may reap it: a dead one is still there, in state Z.
slot_daemon_runs() {
    pid=$(cat "$PID_FILE" 2>/dev/null) || return 1
    grep -qs '^Name:.pkcsslotd$' "/proc/$pid/status" && ! grep -qs '^State:.Z' "/proc/$pid/status"
}

# wait_for COMMAND...: at most ten seconds.
wait_for() {
    tries=0
    until "$@"; do
        tries=$((tries + 1))
        [ "$tries" -le 50 ] || return 1
        sleep 0.2
    done
}
