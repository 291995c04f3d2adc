/**
 * Whether somebody works over SSH: something else than a shell that waits, the extension's own ends of its connections
 * and what serves files runs under an SSH session, or in a terminal that was left behind (tmux, screen).
 */
import { readdir, readFile } from 'node:fs/promises';

interface Process {
  pid: number;
  parent: number;
  name: string;
  state: string;
  /** Arguments, with spaces in between. */
  command: string;
}

/** The program's name as the kernel keeps it: 15 characters. */
const SESSIONS = /^(sshd|sshd-session|tmux: server|screen|dropbear)$/;
const SHELLS = /^-?(ba|da|z|k|c|tc|fi|a)?sh$/;
/** They are there because somebody is connected, not because anything is done. */
const WAITING = /^(tmux: client|tmux|screen|sftp-server|sshd|sshd-session|sudo|su|login|nvidia-smi)$/;
const OUR_ENDS = /tuneyard\.mjs (serve|watchdog)\b/;
/** Editors' own servers: that somebody is connected is no work yet. */
const EDITORS = /\.(vscode|vscodium|cursor|windsurf)[\w-]*-server/;

/**
 * @param home where given, only processes of which this is `$HOME` count: for tests, where VMs share a machine
 * @returns what is being done, or undefined
 * @throws where the processes cannot be listed
 */
export async function lookAtSessions(home?: string): Promise<string | undefined> {
  const processes = await listProcesses();
  const byPid = new Map(processes.map((each) => [each.pid, each]));
  for (const each of processes) {
    if (SHELLS.test(each.name) || WAITING.test(each.name) || each.state === 'Z') continue;
    if (OUR_ENDS.test(each.command) || EDITORS.test(each.command)) continue;
    if (!isUnderSession(each, byPid)) continue;
    if (home !== undefined && !(await hasHome(each.pid, home))) continue;
    return each.name;
  }
  return undefined;
}

function isUnderSession(process: Process, byPid: ReadonlyMap<number, Process>): boolean {
  const seen = new Set<number>();
  for (let at: Process | undefined = process; at && !seen.has(at.pid); at = byPid.get(at.parent)) {
    seen.add(at.pid);
    if (at !== process && SESSIONS.test(at.name)) return true;
  }
  return false;
}

async function listProcesses(): Promise<Process[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const found: Process[] = [];
  for (const pid of pids) {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
    if (stat === undefined) continue;
    // proc(5): the name may hold spaces and parentheses.
    const [open, close] = [stat.indexOf('('), stat.lastIndexOf(')')];
    const [state = '', parent = '0'] = stat.slice(close + 2).split(' ');
    const command = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).replaceAll('\0', ' ');
    found.push({ pid: Number(pid), parent: Number(parent), name: stat.slice(open + 1, close), state, command });
  }
  return found;
}

async function hasHome(pid: number, home: string): Promise<boolean> {
  const environment = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '');
  return environment.split('\0').includes(`HOME=${home}`);
}
