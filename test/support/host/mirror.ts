/** Stands for nodejs.org on loopback: this machine's own Node, packed as an official build is. */
import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { basename, join } from 'node:path';
import { NODE_VERSION } from '@host/runner/nodeRuntime';
import { create } from 'tar';

export const NODE_ARCHIVE = `node-v${NODE_VERSION}-${process.platform}-${process.arch}.tar.gz`;

export interface Mirror {
  address: string;
  /** Paths that were asked for. */
  asked: string[];
  /** A file that is answered with something else. */
  damaged: string;
  close(): void;
}

/** @param dir a folder for its files, which goes with the test */
export async function startMirror(dir: string): Promise<Mirror> {
  await packNode(dir);
  const mirror: Mirror = { address: '', asked: [], damaged: '', close: () => server.close() };
  const server = createServer((request, response) => {
    const name = basename(request.url!);
    mirror.asked.push(request.url!);
    if (!existsSync(join(dir, name))) return void response.writeHead(404).end();
    response.writeHead(200);
    if (name === mirror.damaged) return void response.end('not what it says');
    createReadStream(join(dir, name)).pipe(response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  mirror.address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return mirror;
}

async function packNode(dir: string): Promise<void> {
  const name = NODE_ARCHIVE.replace('.tar.gz', '');
  await mkdir(join(dir, name, 'bin'), { recursive: true });
  await cp(process.execPath, join(dir, name, 'bin/node'));
  await create({ gzip: { level: 1 }, file: join(dir, NODE_ARCHIVE), cwd: dir }, [name]);
  await rm(join(dir, name), { recursive: true });
  const hash = createHash('sha256').update(await readFile(join(dir, NODE_ARCHIVE)));
  await writeFile(
    join(dir, 'SHASUMS256.txt'),
    `${'0'.repeat(64)}  other.tar.gz\n${hash.digest('hex')}  ${NODE_ARCHIVE}\n`,
  );
}
