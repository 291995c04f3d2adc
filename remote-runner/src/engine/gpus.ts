/** NVIDIA's GPUs as `nvidia-smi` tells of them. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Gpu } from '@protocol/serve';

export interface Gpus {
  gpus: Gpu[];
  driver?: string;
  /** The newest CUDA that the driver serves. */
  cuda?: string;
}

const FIELDS = ['index', 'name', 'memory.total', 'memory.used', 'utilization.gpu', 'driver_version'];
/** A driver that hangs must not hang whoever asks. */
const LIMIT_MS = 5000;

/** Empty where there is no driver. */
export async function readGpus(): Promise<Gpus> {
  const [csv, cuda] = await Promise.all([ask(query(FIELDS)), cudaVersion()]);
  const rows = (csv ?? '').split('\n').flatMap((line) => cells(line, FIELDS.length) ?? []);
  const gpus = rows.map(([index, name, total, used, busy]) => ({
    index: Number(index),
    name: name!,
    memory_bytes: bytes(total!),
    used_bytes: bytes(used!),
    utilization: share(busy!),
  }));
  const driver = rows[0]?.[5];
  return { gpus, ...(driver && { driver }), ...(cuda && { cuda }) };
}

const NVIDIA = '0x10de';

/** Whether the machine has one, with a driver or without: where it has none, no driver is missing. */
export async function hasNvidiaGpu(sys = '/sys'): Promise<boolean> {
  if (existsSync('/dev/dxg') || (await readGpus()).gpus.length > 0) return true;
  const devices = join(sys, 'bus/pci/devices');
  const names = await readdir(devices).catch(() => []);
  const read = (name: string, file: string) => readFile(join(devices, name, file), 'utf8').catch(() => '');
  for (const name of names) {
    // Class 3: display controllers, those without a screen among them.
    if ((await read(name, 'vendor')).trim() === NVIDIA && (await read(name, 'class')).startsWith('0x03')) return true;
  }
  return false;
}

let version: string | undefined;

/** Only its table for people tells; it does not change while the driver runs. */
async function cudaVersion(): Promise<string | undefined> {
  version ??= /CUDA[^:]*Version:\s*([\d.]+)/.exec((await ask([])) ?? '')?.[1];
  return version;
}

async function ask(args: string[]): Promise<string | undefined> {
  return promisify(execFile)('nvidia-smi', args, { timeout: LIMIT_MS, killSignal: 'SIGKILL' }).then(
    ({ stdout }) => stdout,
    () => undefined,
  );
}

/** What `nvidia-smi` is asked so that it answers with one line a GPU, see {@link cells}. */
export const query = (fields: readonly string[]): string[] => [
  `--query-gpu=${fields.join(',')}`,
  '--format=csv,noheader,nounits',
];

/** Undefined for a line that is no answer: an error is written among them. */
export function cells(line: string, count: number): [string[]] | undefined {
  const found = line.split(',').map((cell) => cell.trim());
  return found.length === count && /^\d+$/.test(found[0]!) ? [found] : undefined;
}

/** From mebibytes, as it counts. */
export const bytes = (text: string): number => number(text) * 2 ** 20;

/** From a percentage: 0 to 1. */
export const share = (text: string): number => number(text) / 100;

/** "[N/A]", which some GPUs answer, is 0. */
const number = (text: string): number => (Number.isFinite(Number(text)) ? Number(text) : 0);
