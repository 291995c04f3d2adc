/** The runner as the extension carries it: what is put on a host. */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join, posix } from 'node:path';

export interface Bundle {
  /** `0.1.0-3f9a1c2b4d5e`: another one whenever a byte differs. */
  id: string;
  files: BundleFile[];
}

export interface BundleFile {
  /** Relative to the runner's folder, with `/`. */
  name: string;
  /** On this machine. */
  path: string;
  bytes: number;
  sha256: string;
}

const FOLDERS = ['bin', 'dist'];

/** @param folder the runner's folder: `remote-runner` */
export async function readBundle(folder: string): Promise<Bundle> {
  const names = ['package.json'];
  for (const dir of FOLDERS) {
    for (const name of (await readdir(join(folder, dir))).sort())
      if (!name.endsWith('.tmp')) names.push(posix.join(dir, name));
  }
  const whole = createHash('sha256');
  const files: BundleFile[] = [];
  let version = '0';
  for (const name of names) {
    const path = join(folder, name);
    const content = await readFile(path);
    const sha256 = createHash('sha256').update(content).digest('hex');
    files.push({ name, path, bytes: content.length, sha256 });
    whole.update(`${name} ${sha256}\n`);
    if (name === 'package.json') version = String(JSON.parse(content.toString('utf8')).version);
  }
  return { id: `${version}-${whole.digest('hex').slice(0, 12)}`, files };
}
