/**
 * Which process this is, told so that another one can find out later whether it still runs. The runner has its own
 * (`remote-runner/src/runs/processIdentity.ts`): the two programs share nothing but the protocol.
 */
import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';

export interface ProcessIdentity {
  pid: number;
  host: string;
  /** Boot and process namespace; absent where the system does not tell. */
  world?: string;
  /** When it began, in ticks since boot: tells it from a later one of the same id. */
  started?: string;
}

export function ownIdentity(): ProcessIdentity {
  const { pid } = process;
  const world = worldOf();
  const started = statOf(pid)?.started;
  return { pid, host: hostname(), ...(world && { world }), ...(started && { started }) };
}

/** Whether that very process runs. One in another container or on another machine that shares the folder: it may. */
export function mayRun(identity: ProcessIdentity): boolean {
  const world = worldOf();
  if (identity.host !== hostname()) return true;
  if (identity.world !== world) {
    const [boot] = (identity.world ?? '').split(' ');
    // Another boot of this machine: gone. Another container of this boot: who knows.
    return boot === (world ?? '').split(' ')[0];
  }
  try {
    process.kill(identity.pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  const stat = statOf(identity.pid);
  if (stat === undefined) return true;
  if (stat.state === 'Z' || stat.state === 'X') return false;
  return identity.started === undefined || identity.started === stat.started;
}

function worldOf(): string | undefined {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    return `${boot} ${readlinkSync('/proc/self/ns/pid')}`;
  } catch {
    return undefined;
  }
}

/** Fields 3 and 22 of `/proc/PID/stat` (proc(5)); the name before them may hold spaces and parentheses. */
function statOf(pid: number): { state: string; started: string } | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    const [state, started] = [fields[0], fields[19]];
    return state !== undefined && started !== undefined ? { state, started } : undefined;
  } catch {
    return undefined;
  }
}
