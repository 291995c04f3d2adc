/** The runs that another VM left in a bucket, brought here to be gone on with. */
import { mkdir, readFile, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { replaceFile } from '../hub/durableFile';
import { INPUT_FILE, RECIPE_FILE, runsFolder } from '../runs/runDir';
import type { Bucket } from './bucket';
import { HOME_PREFIX, ORIGIN, type Origin } from './safekeeping';

/**
 * A run is there whole or not at all; what is here already stays as it is. What broke off is gone on with.
 * @param folder for what is not whole yet, on the disk of `home`
 * @returns names of the runs that came
 */
export async function bringRuns(
  bucket: Bucket,
  vm: string,
  { home, folder, signal }: { home: string; folder: string; signal?: AbortSignal },
): Promise<string[]> {
  const objects = await bucket.list(`${vm}/`, signal);
  const files = objects.flatMap((object) => {
    const parts = object.name.slice(vm.length + 1).split('/');
    const isPath = parts.length > 1 && parts.every((part) => part !== '' && part !== '.' && part !== '..');
    return isPath ? [{ object, top: parts[0]!, rest: parts.slice(1) }] : [];
  });
  for (const { object, top, rest } of files) {
    if (top !== HOME_PREFIX || object.name === `${vm}/${ORIGIN}`) continue;
    const path = join(home, ...rest);
    if ((await bytesOf(path)) !== Number(object.size)) await bucket.download(object, path, signal);
  }
  const origin = await originOf(bucket, vm, folder, signal);
  const brought: string[] = [];
  for (const run of new Set(files.map(({ top }) => top))) {
    const target = join(runsFolder(home), run);
    if (run === HOME_PREFIX || (await stat(target).catch(() => undefined))) continue;
    const part = join(folder, run);
    for (const { object, top, rest } of files) {
      const path = join(part, ...rest);
      if (top === run && (await bytesOf(path)) !== Number(object.size)) await bucket.download(object, path, signal);
    }
    for (const name of [RECIPE_FILE, INPUT_FILE]) await movePaths(join(part, name), origin, home);
    await mkdir(runsFolder(home), { recursive: true });
    await rename(part, target);
    brought.push(run);
  }
  return brought;
}

async function originOf(bucket: Bucket, vm: string, folder: string, signal?: AbortSignal): Promise<string | undefined> {
  const [object] = await bucket.list(`${vm}/${ORIGIN}`, signal);
  if (!object) return undefined;
  const path = join(folder, 'origin.json');
  await bucket.download(object, path, signal);
  return (JSON.parse(await readFile(path, 'utf8')) as Origin).home;
}

/** A recipe names files by where they were. */
async function movePaths(file: string, from: string | undefined, to: string): Promise<void> {
  const text = await readFile(file, 'utf8').catch(() => undefined);
  if (text === undefined || from === undefined || from === to) return;
  const moved = JSON.stringify(
    JSON.parse(text, (_, value: unknown) =>
      typeof value === 'string' && value.startsWith(`${from}/`) ? to + value.slice(from.length) : value,
    ),
    null,
    2,
  );
  await replaceFile(file, [new TextEncoder().encode(`${moved}\n`)]);
}

async function bytesOf(path: string): Promise<number | undefined> {
  return (await stat(path).catch(() => undefined))?.size;
}
