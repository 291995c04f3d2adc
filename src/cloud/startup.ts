/**
 * What a VM is given to look after itself: metadata that says when it is to end, and a startup script, run by Google's
 * guest agent as root at each boot, that keeps the runner's watchdog going (`tuneyard watchdog`). The script brings
 * nothing along and fetches nothing: it waits until the runner is installed. The watchdog runs as the user; what only
 * root may do, switching off, the script does when the watchdog ends with the status for it.
 */
import type { CreateVm } from '@protocol/cloud';
import {
  DELETE_AT_ITEM,
  WATCHDOG_EXIT,
  WATCHDOG_FOLDER,
  WATCHDOG_ITEM,
  type WatchdogSettings,
} from '@protocol/watchdog';

const DEFAULT_IDLE_MINUTES = 30;

export interface StartupOptions {
  /** Account on the VM that the runner is installed for. */
  user: string;
  /** When the VM is to end: ISO 8601. */
  deleteAt: string;
  /** False: a person wants it bare, and nobody on it may say that it is of no use. Default true. */
  getsRunner?: boolean;
}

/** What the watchdog of a new VM is told, from what a person has confirmed. */
export function watchdogSettings(
  vm: string,
  create: CreateVm,
  labels: Record<string, string>,
  resume?: WatchdogSettings['resume'],
): WatchdogSettings {
  return {
    vm,
    idle_minutes: create.idle_minutes ?? DEFAULT_IDLE_MINUTES,
    idle_action: create.idle_action ?? 'delete',
    end_after_last_run: create.end_after_last_run ?? false,
    artifacts: create.artifacts ?? { kind: 'fetch' },
    labels,
    spot: create.provisioning_model === 'SPOT',
    ...(resume && { resume }),
  };
}

/** Metadata items of a new instance; the SSH key and the driver's are its maker's. */
export function startupMetadata(settings: WatchdogSettings, options: StartupOptions): Record<string, string> {
  return {
    'enable-guest-attributes': 'TRUE',
    'startup-script': startupScript(options.user, options.getsRunner === false ? 0 : settings.idle_minutes),
    [WATCHDOG_ITEM]: JSON.stringify(settings),
    [DELETE_AT_ITEM]: options.deleteAt,
  };
}

/**
 * What Google does with the VM at its time limit and at preemption, which is one setting. A preempted VM that is deleted
 * takes its boot disk along, and with it the last checkpoint: without a bucket to copy it to, a spot VM is stopped, and
 * the run goes on from its disk.
 */
export function terminationActionOf({ provisioning_model, artifacts }: CreateVm): 'DELETE' | 'STOP' {
  return provisioning_model === 'SPOT' && artifacts?.kind !== 'bucket' ? 'STOP' : 'DELETE';
}

/** A VM on which nobody installs a runner costs as much as one that trains. */
const WITHOUT_RUNNER_MINUTES = 60;

/**
 * TUNEYARD_VM_HOME and TUNEYARD_POWEROFF are for tests, in which many VMs share one machine: where the user's home is,
 * and what switches the VM off.
 */
export function startupScript(user: string, idleMinutes: number): string {
  const patience = idleMinutes === 0 ? 0 : Math.max(WITHOUT_RUNNER_MINUTES, 2 * idleMinutes) * 60;
  return `#!/bin/sh
# Tuneyard: keeps the watchdog of this VM going. Run at each boot; a second time it does nothing.
user=${quote(user)}
if [ -n "\${TUNEYARD_VM_HOME:-}" ]; then dir="$TUNEYARD_VM_HOME/.tuneyard/${WATCHDOG_FOLDER}"; else dir=/var/lib/tuneyard; fi
mkdir -p "$dir" && cd "$dir" || exit 1
old=$(cat supervisor.pid 2>/dev/null)
if [ -n "$old" ] && tr '\\0' ' ' <"/proc/$old/cmdline" 2>/dev/null | grep -q "$dir/supervise.sh"; then exit 0; fi
cat >supervise.sh <<'END_OF_SUPERVISE'
${supervisor(patience)}END_OF_SUPERVISE
boot=$(cat /proc/sys/kernel/random/boot_id 2>/dev/null)-$(date +%s)-$$
printf 'TUNEYARD_VM_USER=%s\\nTUNEYARD_VM_BOOT=%s\\n' "$user" "$boot" >environment
if [ -d /run/systemd/system ] && [ -z "\${TUNEYARD_VM_HOME:-}" ]; then
  cat >/etc/systemd/system/tuneyard-watchdog.service <<END_OF_UNIT
[Unit]
Description=Tuneyard watchdog
Wants=network-online.target
After=network-online.target
[Service]
EnvironmentFile=$dir/environment
ExecStart=/bin/sh $dir/supervise.sh
Restart=always
RestartSec=10
KillMode=process
TimeoutStopSec=28
StandardOutput=journal+console
StandardError=journal+console
END_OF_UNIT
  systemctl daemon-reload && exec systemctl start --no-block tuneyard-watchdog
fi
export TUNEYARD_VM_USER="$user" TUNEYARD_VM_BOOT="$boot"
setsid sh "$dir/supervise.sh" </dev/null >>"$dir/watchdog.log" 2>&1 &
echo $! >supervisor.pid
`;
}

/** It does little and seldom: half of what Node would take otherwise. */
const LIGHT = '--jitless --no-expose-wasm --optimize-for-size --max-semi-space-size=1';

/** @param patience seconds after which a VM without a runner is switched off; 0: never */
function supervisor(patience: number): string {
  return `user="$TUNEYARD_VM_USER"; patience=${patience}; waited=0; child=
cd "$(dirname "$0")" || exit 1
echo $$ >supervisor.pid
say() { echo "tuneyard: $*"; }
nap() { sleep "$1" & child=$!; wait "$child"; child=; }
end() { trap '' TERM INT; [ -n "$child" ] && kill -TERM "$child" 2>/dev/null && wait "$child"; rm -f supervisor.pid; exit 0; }
trap end TERM INT
power_off() {
  say "switching off"
  if [ -n "\${TUNEYARD_POWEROFF:-}" ]; then "$TUNEYARD_POWEROFF"
  elif grep -qs Google /sys/class/dmi/id/product_name; then sync; systemctl poweroff 2>/dev/null || poweroff
  else say "this is no VM of Google's: it stays on"; fi
}
as_user() {
  if [ "$(id -un)" = "$user" ] || [ -n "\${TUNEYARD_VM_HOME:-}" ]; then HOME="$home" exec "$@"
  else exec setpriv --reuid="$user" --regid="$(id -g "$user")" --init-groups env HOME="$home" USER="$user" "$@"; fi
}
while :; do
  home="\${TUNEYARD_VM_HOME:-$(getent passwd "$user" | cut -d: -f6)}"
  ready=; [ -n "$home" ] && ready=$(ls -1t "$home"/.tuneyard/runner/*/ready 2>/dev/null | head -n 1)
  node=; [ -n "$ready" ] && node=$(sed -n 's/^node=//p' "$ready")
  if [ -z "$node" ] || [ ! -x "$node" ]; then
    if [ "$patience" -gt 0 ] && [ "$waited" -ge "$patience" ]; then say "no runner was installed in $waited s"; power_off; waited=0; fi
    nap 5; waited=$((waited + 5)); continue
  fi
  light='${LIGHT}'; "$node" $light -e 0 >/dev/null 2>&1 || light=
  ( cd "$home"; as_user "$node" $light "\${ready%/ready}/bin/tuneyard.mjs" watchdog ) &
  child=$!; wait "$child"; status=$?; child=
  if [ "$status" -eq ${WATCHDOG_EXIT.powerOff} ]; then power_off; nap 120; continue; fi
  say "the watchdog ended with status $status; it is started again"
  nap 10
done
`;
}

const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
