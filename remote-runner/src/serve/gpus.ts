/** NVIDIA's GPUs as `nvidia-smi` tells of them. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Gpu } from '@protocol/serve';

export interface Gpus {
  gpus: Gpu[];
  driver?: string;
  /** The newest CUDA that the driver serves. */
  cuda?: string;
}

const FIELDS = ['index', 'name', 'memory.total', 'memory.used', 'utilization.gpu', 'driver_version'];
const MEBIBYTE = 2 ** 20;
/** A driver that hangs must not hang whoever asks. */
const LIMIT_MS = 5000;

/** Empty where there is no driver. */
export async function readGpus(): Promise<Gpus> {
  const csv = await ask([`--query-gpu=${FIELDS.join(',')}`, '--format=csv,noheader,nounits']);
  if (csv === undefined) return { gpus: [] };
  const rows = csv
    .trim()
    .split('\n')
    .map((line) => line.split(',').map((cell) => cell.trim()))
    .filter((row) => row.length === FIELDS.length);
  const gpus = rows.map(([index, name, total, used, busy]) => ({
    index: Number(index),
    name: name!,
    memory_bytes: number(total!) * MEBIBYTE,
    used_bytes: number(used!) * MEBIBYTE,
    utilization: number(busy!) / 100,
  }));
  const driver = rows[0]?.[5];
  const cuda = await cudaVersion();
  return { gpus, ...(driver && { driver }), ...(cuda && { cuda }) };
}

let version: Promise<string | undefined> | undefined;

/** Only its table for people tells; it does not change while the driver runs. */
function cudaVersion(): Promise<string | undefined> {
  version ??= ask([]).then((table) => /CUDA[^:]*Version:\s*([\d.]+)/.exec(table ?? '')?.[1]);
  return version;
}

/** "[N/A]", which some GPUs answer, is 0. */
const number = (text: string): number => (Number.isFinite(Number(text)) ? Number(text) : 0);

async function ask(args: string[]): Promise<string | undefined> {
  return promisify(execFile)('nvidia-smi', args, { timeout: LIMIT_MS, killSignal: 'SIGKILL' }).then(
    ({ stdout }) => stdout,
    () => undefined,
  );
}
