#!/bin/sh
# What an administrator does on a bare Debian, under its systemd. .ci/systemd runs this in a machine of its own, with the package in /out.
# Each step says what holds; the first that does not ends the story.
set -eu

said() { echo "holds: $*"; }
fail() { echo "FAILS: $*"; systemctl --no-pager status keysvc-master keysvc-agent || true; journalctl --no-pager -n 80 || true; exit 1; }
until_holds() { # until_holds WHAT COMMAND...
  what=$1
  shift
  for _ in $(seq 600); do
    if "$@" >/dev/null 2>&1; then said "$what"; return 0; fi
    sleep 0.2
  done
  fail "$what"
}
shown() { systemctl show --property="$1" --value "$2"; }
keysvc_as_master() { runuser -u keysvc -- env CREDENTIALS_DIRECTORY=/run/for-init keysvc --config /var/lib/keysvc/keysvc.toml "$@"; }
status_is() { [ "$(shown StatusText "$2")" = "$1" ]; }
journal_has() { journalctl --no-pager -o cat -u "$1" | grep -q -e "$2"; }

ended=
at_end() { # a command that nobody expected to fail ends the story too
  if [ -z "$ended" ]; then echo "FAILS: the story did not come to its end"; journalctl --no-pager -n 80 -o cat || true; fi
}
trap at_end EXIT

began=$(date +%s)
dpkg -i /out/keysvc_*.deb >/dev/null
said "the package installs"
! systemctl is-active --quiet keysvc-master || fail "nothing runs before it is configured"

# The passphrase of the key store is a credential of the unit, sealed to this machine.
install -d -m 755 /etc/keysvc
install -d -m 700 -o keysvc -g keysvc /run/for-init /var/lib/keysvc
printf 'correct horse battery staple' >/run/for-init/passphrase
chown keysvc /run/for-init/passphrase
systemd-creds encrypt --name=passphrase /run/for-init/passphrase /etc/keysvc/passphrase.cred >/dev/null 2>&1
mkdir -p /etc/systemd/system/keysvc-master.service.d /etc/systemd/system/keysvc-agent.service.d
cat >/etc/systemd/system/keysvc-master.service.d/site.conf <<UNIT
[Service]
LoadCredentialEncrypted=passphrase:/etc/keysvc/passphrase.cred
WatchdogSec=8
UNIT
keysvc_as_master init --dir /var/lib/keysvc --listen 127.0.0.1:7443 --no-backup --poll-interval 1s --lease-ttl 5s \
  --key-store 'file:///var/lib/keysvc/secret?unlock=passphrase&passphrase-source=credential:passphrase' >/dev/null
sed -i '1i probes = "127.0.0.1:9464"' /var/lib/keysvc/keysvc.toml
systemctl daemon-reload
systemctl enable --quiet --now keysvc-master
said "systemctl start returns when the master is ready"
until_holds "systemctl status says that the master is ready" status_is ready keysvc-master

keysvc_as_master app create SAP --enable >/dev/null
keysvc_as_master mapping set SAP anna AWEBER --enable >/dev/null
echo '{"Password": "geheim"}' | keysvc_as_master credential set SAP anna --fields-file - >/dev/null
keysvc_as_master credential get SAP anna --show | grep -q geheim || fail "the first credential is looked up"
said "the first credential is looked up $(($(date +%s) - began)) s after the package was there"
keysvc_as_master secret rotate 2>/dev/null >/dev/null || fail "a rotation starts in the sandbox"
said "a rotation starts in the sandbox"

python3 - <<'PYTHON' || fail "the probes answer"
import urllib.request
assert urllib.request.urlopen("http://127.0.0.1:9464/readyz").read() == b"ok\n"
assert b"keysvc_lease_held 1.0" in urllib.request.urlopen("http://127.0.0.1:9464/metrics").read()
PYTHON
said "the probes answer"

# The mapping store is SQLite, on this machine, so that the agent has to be of the same account.
cat >/etc/systemd/system/keysvc-agent.service.d/site.conf <<UNIT
[Service]
User=keysvc
Group=keysvc
UNIT
install -d -m 700 -o keysvc -g keysvc /var/lib/keysvc-agent
keysvc_as_master server enroll web-01 >/run/for-init/token
runuser -u keysvc -- keysvc join https://127.0.0.1:7443 --token-file /run/for-init/token --dir /var/lib/keysvc-agent >/dev/null
cat >/run/for-init/policy <<'TOML'
unit_credentials = [
    { unit = "adapter.service", credential = "sap.password", application = "SAP", user = "anna", field = "Password" },
    { unit = "adapter.service", credential = "gone", application = "SAP", user = "nobody" },
]
TOML
cat /run/for-init/policy /var/lib/keysvc-agent/keysvc.toml >/run/for-init/both
cat /run/for-init/both >/var/lib/keysvc-agent/keysvc.toml
# shellcheck disable=SC2016  # the unit's own shell expands it
unit() { # unit NAME LINE...: a oneshot that shows its credentials
  name=$1
  shift
  { printf '[Service]\nType=oneshot\nDynamicUser=yes\n'; printf '%s\n' "$@"; echo 'ExecStart=/bin/sh -c "cat $CREDENTIALS_DIRECTORY/*"'; } >"/run/systemd/system/$name"
}
unit adapter.service LoadCredential=sap.password:/run/keysvc/credentials.sock
unit stranger.service LoadCredential=sap.password:/run/keysvc/credentials.sock
unit unlucky.service LoadCredential=gone:/run/keysvc/credentials.sock
sed -i 's/unit = "adapter.service", credential = "gone"/unit = "unlucky.service", credential = "gone"/' /var/lib/keysvc-agent/keysvc.toml
systemctl daemon-reload
systemctl enable --quiet --now keysvc-agent.socket keysvc-agent-local.socket keysvc-credentials.socket
! systemctl is-active --quiet keysvc-agent || fail "the agent does not run before anybody calls"
timeout 300 systemctl start adapter.service || fail "a unit starts with a credential of the agent"
journal_has adapter.service '^geheim$' || fail "a unit gets its credential"
said "a unit gets its credential, and the agent was started for it"
for refused in stranger.service unlucky.service; do
  ! timeout 300 systemctl start "$refused" 2>/dev/null || fail "$refused starts without a credential"
  [ "$(shown ExecMainStatus "$refused")" = 243 ] || fail "$refused ends with 243/CREDENTIALS"
done
said "a unit that may have none, or whose credential is not there, does not start"
systemctl restart keysvc-agent
timeout 300 systemctl restart adapter.service || fail "sockets outlive a restart of the agent"
said "sockets outlive a restart of the agent"
python3 - <<'PYTHON' || fail "the agent answers on the sockets that systemd holds"
import socket
with socket.socket(socket.AF_UNIX) as s:
    s.connect("/run/keysvc/agent.sock")
    s.sendall(b"GET /v1/status HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert s.recv(100).startswith(b"HTTP/1.1 403 "), "root is no caller of the agent"
socket.create_connection(("127.0.0.1", 7444)).close()
PYTHON
said "the agent answers on the sockets that systemd holds"

sed -i '1i log.level = "debug"' /var/lib/keysvc/keysvc.toml
systemctl reload keysvc-master
until_holds "a reload takes the level of the log over" journal_has keysvc-master '"log_level": "debug"'
! journal_has keysvc-master 'was not reloaded' || fail "the configuration can be reloaded"
journalctl --no-pager -o cat -u keysvc-master -p warning | grep -q 'no backup' || fail "warnings have their priority"
! journalctl --no-pager -o cat -u keysvc-master -p warning | grep -q '"level": "info"' || fail "the rest has another"
said "lines have their priority in the journal"

# Nobody else writes for longer than the watchdog waits: an outage of the database.
restarts=$(shown NRestarts keysvc-master)
python3 - <<'PYTHON'
import sqlite3, time
held = sqlite3.connect("/var/lib/keysvc/keysvc.db", timeout=60)
held.execute("BEGIN IMMEDIATE")
time.sleep(15)
PYTHON
[ "$(shown NRestarts keysvc-master)" = "$restarts" ] || fail "an outage of the database restarts nobody"
said "an outage of the database that is longer than the watchdog's time restarts nobody"
until_holds "afterwards it is ready again" status_is ready keysvc-master
kill -STOP "$(shown MainPID keysvc-master)"
restarted() { [ "$(shown NRestarts keysvc-master)" -gt "$restarts" ]; }
until_holds "a process that hangs is restarted by the watchdog" restarted
until_holds "and is ready again" status_is ready keysvc-master

systemctl stop keysvc-agent keysvc-master
[ "$(shown Result keysvc-master)$(shown Result keysvc-agent)" = successsuccess ] || fail "services stop in order"
said "services stop in order"
systemd-analyze security --no-pager keysvc-master.service keysvc-agent.service | grep -e Overall -e '→' || true
for unit in keysvc-master keysvc-agent; do
  systemd-analyze security --no-pager --threshold=15 "$unit.service" >/dev/null || fail "the exposure of $unit is 1.5 or less"
done
said "the exposure of both units is 1.5 or less"
purged=$(dpkg --purge keysvc 2>&1)
case "$purged" in
  *"may hold the master secret"*) ;;
  *) fail "purge says that it keeps the master secret: $purged" ;;
esac
if [ -e /opt/keysvc ] || [ -e /usr/bin/keysvc ] || [ ! -e /var/lib/keysvc/keysvc.toml ]; then fail "purge leaves the state alone"; fi
said "purge leaves the state alone"
ended=yes
