/**
 * Lives of VMs in which something goes wrong: the shipped command line makes, recovers and deletes one, while at a request drawn
 * by lot an error comes, an answer is lost or is never given, a request arrives twice, or the process is killed. What is left is counted.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Reconciliation } from '@protocol/cloud';
import { type FaultKind, GoogleStandIn, type SeenRequest } from './standIn/googleStandIn';

const PROGRAM = fileURLToPath(new URL('../../remote-runner/bin/tuneyard.mjs', import.meta.url));
const ZONES = ['us-central1-a', 'us-central1-b'];
const KINDS: (FaultKind | 'kill-before' | 'kill-after')[] = [
  'error429',
  'error500',
  'error503',
  'drop-before',
  'drop-after',
  'duplicate',
  'hang',
  'kill-before',
  'kill-after',
];
/** About as many requests as a creation takes, and a deletion. */
const CREATE_CALLS = 24;
const DELETE_CALLS = 9;
const PASSES = 4;

export interface LivesReport {
  provisions: number;
  /** Instances that nobody here knows of. */
  unaccounted: number;
  /** Instances too many. */
  duplicates: number;
  /** Instances or disks that are there after their deletion, or of which the record says that they are. */
  undeleted: number;
  /** Which fault at which request came to what, for those that were not as they should be. */
  notes: string[];
  /** How many processes were killed, and how many VMs came to be. */
  killed: number;
  made: number;
}

export async function liveFaultily(count: number, seed: number, say: (text: string) => void): Promise<LivesReport> {
  const projects = Array.from({ length: count }, (_, i) => `project-${i}`);
  await using google = await GoogleStandIn.start({
    speed: 30,
    projects,
    operationMs: 600,
    bootMs: 1000,
    driverMs: 3000,
  });
  const credentials = await google.credentialsFile();
  const report: LivesReport = {
    provisions: 0,
    unaccounted: 0,
    duplicates: 0,
    undeleted: 0,
    notes: [],
    killed: 0,
    made: 0,
  };
  const random = generator(seed);
  const plans = projects.map((project, i) => ({
    project,
    create: { kind: KINDS[i % KINDS.length]!, at: 1 + Math.floor(random() * CREATE_CALLS) },
    end: { kind: KINDS[Math.floor(random() * KINDS.length)]!, at: 1 + Math.floor(random() * DELETE_CALLS) },
  }));
  const next = plans.values();
  const live = async () => {
    for (const plan of next) {
      await new Life(google, credentials, plan.project, report).live(plan.create, plan.end);
      report.provisions++;
      if (report.provisions % 10 === 0) say(`${report.provisions} of ${count}`);
    }
  };
  await Promise.all([live(), live(), live()]);
  return report;
}

interface Mishap {
  kind: (typeof KINDS)[number];
  /** The request at which it happens, counted from 1. */
  at: number;
}

class Life {
  #child: ChildProcess | undefined;

  constructor(
    private readonly google: GoogleStandIn,
    private readonly credentials: string,
    private readonly project: string,
    private readonly report: LivesReport,
  ) {}

  async live(create: Mishap, end: Mishap): Promise<void> {
    const { google, project, report } = this;
    const home = await mkdtemp(join(tmpdir(), 'tuneyard-lives-'));
    const note = (text: string) =>
      report.notes.push(`${project} (${create.kind} at ${create.at}, then ${end.kind} at ${end.at}): ${text}`);
    try {
      const zones = ZONES.flatMap((zone) => ['--zone', zone]);
      const words = [
        'create',
        'vm',
        '--project',
        project,
        '--machine-type',
        'g2-standard-4',
        '--bare',
        '--yes',
        ...zones,
      ];
      await this.#withMishap(create, () => this.#run(home, words));
      await this.#recover(home);

      const there = google.instances(project);
      report.made += there.length > 0 ? 1 : 0;
      if (there.length > 1) {
        report.duplicates += there.length - 1;
        note(`${there.length} instances`);
      }
      const { unknown = there } = ((await this.#run(home, ['reconcile', '--project', project])).at(-1) ??
        {}) as Partial<Reconciliation>;
      if (unknown.length > 0) {
        report.unaccounted += unknown.length;
        note(`${unknown.length} unknown`);
      }

      await this.#withMishap(end, () => this.#run(home, ['delete', 'vm', '--yes']));
      await this.#recover(home);
      // Whoever sees that it is still there tries again.
      const isListed = async () => (await this.#run(home, ['list'])).length > 0;
      for (let pass = 1; pass <= PASSES && (await isListed()); pass++) await this.#run(home, ['delete', 'vm', '--yes']);
      const disks = [...google.world.disks.values()].filter((disk) => disk.project === project);
      const left = google.instances(project).length + disks.length;
      if (left > 0 || (await isListed())) {
        report.undeleted++;
        note(`${left} left behind`);
      }
    } finally {
      await rm(home, { recursive: true, force: true });
    }
  }

  async #recover(home: string): Promise<void> {
    await this.#run(home, ['recover', '--bare']);
  }

  async #withMishap({ kind, at }: Mishap, work: () => Promise<unknown>): Promise<void> {
    const { google, project, report } = this;
    let seen = 0;
    const isOurs = ({ path }: SeenRequest) =>
      path.includes(`/projects/${project}/`) || path.endsWith(`/projects/${project}`);
    const stop = google.fault((request) => {
      if (!isOurs(request) || ++seen !== at) return undefined;
      if (kind !== 'kill-before' && kind !== 'kill-after') return kind;
      this.#child?.kill('SIGKILL');
      report.killed++;
      return kind === 'kill-before' ? 'drop-before' : 'drop-after';
    });
    await work();
    stop();
    await google.world.operations.settled();
  }

  /** The objects that it wrote; a failure is one of them. */
  async #run(home: string, words: string[]): Promise<Record<string, unknown>[]> {
    const { google } = this;
    const { origin, speed, advanced } = google.clock;
    const child = spawn(process.execPath, [PROGRAM, 'vm', ...words, '--json'], {
      stdio: ['ignore', 'pipe', 'ignore'],
      env: {
        ...process.env,
        TUNEYARD_HOME: home,
        TUNEYARD_GCE_ENDPOINT: google.endpoint,
        TUNEYARD_GCE_USER: userInfo().username,
        TUNEYARD_GCE_SSH_PORT: String(google.sshPort),
        TUNEYARD_CLOUD_CLOCK: `${origin} ${speed} ${advanced}`,
        GOOGLE_APPLICATION_CREDENTIALS: this.credentials,
      },
    });
    this.#child = child;
    let stdout = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    await once(child, 'close');
    return stdout
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .flatMap((line) => {
        try {
          return [JSON.parse(line) as Record<string, unknown>];
        } catch {
          // Killed in the middle of it.
          return [];
        }
      })
      .filter(({ type }) => type !== 'progress' && type !== 'error');
  }
}

/** Numbers from 0 to 1, the same for a seed (mulberry32). */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
