/** What the VM was told, from its metadata. A setting that makes no sense is as if it had not been made: nothing ends. */
import { DELETE_AT_ITEM, WATCHDOG_ITEM, type WatchdogSettings } from '@protocol/watchdog';

export interface Orders {
  settings: WatchdogSettings;
  /** Milliseconds since 1970. */
  deleteAt: number | undefined;
}

/** Undefined where the metadata does not hold what can be acted on. */
export function readOrders(attributes: Readonly<Record<string, string>>): Orders | undefined {
  const settings = parse(attributes[WATCHDOG_ITEM]);
  if (!settings) return undefined;
  const time = Date.parse(attributes[DELETE_AT_ITEM] ?? '');
  return { settings, deleteAt: Number.isNaN(time) ? undefined : time };
}

function parse(text: string | undefined): WatchdogSettings | undefined {
  let value: Partial<WatchdogSettings>;
  try {
    value = JSON.parse(text ?? '') as Partial<WatchdogSettings>;
  } catch {
    return undefined;
  }
  const { vm, idle_minutes, idle_action, artifacts, resume } = value;
  const isWhole =
    typeof vm === 'string' &&
    typeof idle_minutes === 'number' &&
    idle_minutes >= 0 &&
    (idle_action === 'delete' || idle_action === 'stop') &&
    (artifacts?.kind === 'fetch' ||
      artifacts?.kind === 'snapshot' ||
      (artifacts?.kind === 'bucket' && typeof artifacts.bucket === 'string'));
  if (!isWhole) return undefined;
  return {
    vm,
    idle_minutes,
    idle_action,
    artifacts,
    end_after_last_run: value.end_after_last_run === true,
    spot: value.spot === true,
    labels: value.labels ?? {},
    ...(typeof resume?.bucket === 'string' && typeof resume.vm === 'string' && { resume }),
  };
}
