/** Which process this is, told so that another one can find out later whether it still runs. */
import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import { isProcessAlive } from '../hub/processAlive';

export interface ProcessIdentity {
  pid: number;
  host: string;
  /** Changes when the machine starts anew; absent where the system does not tell. */
  boot?: string;
  /** In which process ids are counted: each container has its own; absent where the system does not tell. */
  namespace?: string;
  /** When the process began, in the kernel's ticks since boot: tells it from a later one of the same id. */
  started?: string;
}

export function ownIdentity(): ProcessIdentity {
  const { pid } = process;
  const boot = bootId();
  const namespace = pidNamespace();
  const started = processStat(pid)?.started;
  return {
    pid,
    host: hostname(),
    ...(boot !== undefined && { boot }),
    ...(namespace !== undefined && { namespace }),
    ...(started !== undefined && { started }),
  };
}

/**
 * Whether that very process still runs: 'unknown' for one on another machine or in another container, which cannot be
 * asked from here. A zombie, of which only the exit status is left, does not run.
 */
export function identityState(identity: ProcessIdentity): 'running' | 'gone' | 'unknown' {
  const here = ownIdentity();
  const sameBoot = here.boot !== undefined && identity.boot === here.boot;
  if (sameBoot ? identity.namespace !== here.namespace : identity.host !== here.host) return 'unknown';
  if (identity.boot !== here.boot) return 'gone';
  if (!isProcessAlive(identity.pid)) return 'gone';
  const stat = processStat(identity.pid);
  if (stat === undefined) return 'running';
  if (stat.state === 'Z' || stat.state === 'X') return 'gone';
  return identity.started === undefined || identity.started === stat.started ? 'running' : 'gone';
}

/** Whether it is a process of this machine, be it of another container. */
export function isOfThisMachine({ host, boot }: ProcessIdentity): boolean {
  const mine = bootId();
  return mine === undefined || boot === undefined ? host === hostname() : boot === mine;
}

function pidNamespace(): string | undefined {
  try {
    return readlinkSync('/proc/self/ns/pid');
  } catch {
    return undefined;
  }
}

function bootId(): string | undefined {
  return readText('/proc/sys/kernel/random/boot_id')?.trim();
}

/** Fields 3 and 22 of `/proc/PID/stat` (proc(5)); the name before them may hold spaces and parentheses. */
function processStat(pid: number): { state: string; started: string } | undefined {
  const text = readText(`/proc/${pid}/stat`);
  const fields = text?.slice(text.lastIndexOf(')') + 2).split(' ');
  const [state, started] = [fields?.[0], fields?.[19]];
  return state !== undefined && started !== undefined ? { state, started } : undefined;
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
