/** Names of the directories and files that make up checkpoints, and the manifest that says when one is whole. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { TuneyardError } from '@protocol/errors';
import { z } from 'zod';
import { throwIfCancelled } from '../hub/cancel';
import { systemErrorCode } from '../hub/diskError';
import { MANIFEST_FILE } from './manifestFile';

export const OPTIMIZER_FILE = 'optimizer.safetensors';
export const STATE_FILE = 'trainer_state.json';

/** A checkpoint's directory and the optimizer step after which it was made. */
export interface Checkpoint {
  step: number;
  path: string;
}

const manifestSchema = z.object({
  version: z.literal(1),
  step: z.number().int().nonnegative(),
  files: z.record(z.string(), z.object({ bytes: z.number().int().nonnegative(), sha256: z.string() })),
});

/** Every file of a checkpoint with its size and hash; written last, so that where it lies the rest is whole. */
export type Manifest = z.infer<typeof manifestSchema>;

/** Directories under a checkpoints root, by what their names say. */
export interface CheckpointEntries {
  /** By step, ascending. */
  checkpoints: Checkpoint[];
  /** `step-N.tmp-PID`: cut short while being written. */
  unfinished: Checkpoint[];
  /** `step-N.old-PID`: was being replaced by a new one of the same step. */
  replaced: Checkpoint[];
  /** `step-N.del-PID`: was being deleted. */
  deleted: Checkpoint[];
}

/** Reads the names under `root`; no root means no checkpoints. */
export async function listEntries(root: string): Promise<CheckpointEntries> {
  const entries: CheckpointEntries = { checkpoints: [], unfinished: [], replaced: [], deleted: [] };
  const names = await readdir(root).catch((error: unknown) => {
    if (systemErrorCode(error) === 'ENOENT') return [];
    throw new TuneyardError('checkpoint_invalid', 'the checkpoints here cannot be listed; check the permissions.', {
      place: { file: root },
      cause: error,
    });
  });
  for (const name of names) {
    const match = /^step-(\d+)(?:\.(tmp|old|del)-\d+)?$/.exec(name);
    if (!match) continue;
    const checkpoint = { step: Number(match[1]), path: join(root, name) };
    if (match[2] === 'tmp') entries.unfinished.push(checkpoint);
    else if (match[2] === 'old') entries.replaced.push(checkpoint);
    else if (match[2] === 'del') entries.deleted.push(checkpoint);
    else entries.checkpoints.push(checkpoint);
  }
  for (const list of Object.values(entries)) list.sort((a: Checkpoint, b: Checkpoint) => a.step - b.step);
  return entries;
}

/** The manifest, or the reason why the checkpoint has none that counts. */
export async function readManifest(path: string): Promise<Manifest | string> {
  let text: string;
  try {
    text = await readFile(join(path, MANIFEST_FILE), 'utf8');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return `it has no ${MANIFEST_FILE}, so it was cut short`;
    return `its ${MANIFEST_FILE} cannot be read`;
  }
  try {
    const manifest = manifestSchema.safeParse(JSON.parse(text));
    return manifest.success ? manifest.data : `its ${MANIFEST_FILE} is not one of Tuneyard`;
  } catch {
    return `its ${MANIFEST_FILE} is damaged`;
  }
}

/**
 * Why a checkpoint cannot be used, or undefined where every file has the size and the hash that its manifest says.
 * All sizes are compared before the first hash: a file cut short shows at once.
 * @throws TuneyardError `cancelled`
 */
export async function findFault(path: string, signal?: AbortSignal): Promise<string | undefined> {
  const manifest = await readManifest(path);
  if (typeof manifest === 'string') return manifest;
  const wrongSize = await findWrongSize(path, manifest);
  if (wrongSize !== undefined) return wrongSize;
  for (const [name, { sha256 }] of Object.entries(manifest.files)) {
    if ((await hashFile(join(path, name), signal)) !== sha256)
      return `its ${name} does not have the bytes it was saved with`;
  }
  return undefined;
}

/** What of {@link findFault} shows without reading the weights. */
export async function findPlainFault(path: string): Promise<string | undefined> {
  const manifest = await readManifest(path);
  return typeof manifest === 'string' ? manifest : findWrongSize(path, manifest);
}

async function findWrongSize(path: string, manifest: Manifest): Promise<string | undefined> {
  for (const [name, { bytes }] of Object.entries(manifest.files)) {
    const stats = await stat(join(path, name)).catch(() => undefined);
    if (!stats) return `its ${name} is missing`;
    if (stats.size !== bytes) return `its ${name} has ${stats.size} bytes instead of ${bytes}`;
  }
  return undefined;
}

async function hashFile(path: string, signal: AbortSignal | undefined): Promise<string | undefined> {
  const hash = createHash('sha256');
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 4 << 20 })) {
      throwIfCancelled(signal, `Checking ${path}`);
      hash.update(chunk as Buffer);
    }
  } catch (error) {
    if (error instanceof TuneyardError) throw error;
    return undefined;
  }
  return hash.digest('hex');
}
