/** A model brought from a host to this machine: made ready by the runner there, fetched file by file, checked. */
import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';
import type { Host, TransferOptions } from '../hosts/host';
import type { OnProgress } from '../runner/installContext';
import { shell } from '../runner/remoteDir';
import type { Runner } from '../runner/runner';

/** In a row, without a byte in between. */
const MAX_FAILURES = 3;
/** A disk reads 100 MB/s at least. */
const SUM_LIMIT_MS = 30 * 60_000;

interface Options {
  signal: AbortSignal;
  report: OnProgress;
}

/**
 * @param from a run's model or checkpoint on the host
 * @param to folder of this machine, which must not exist yet; it is there once it is whole
 * @returns its bytes
 * @throws TuneyardError what the export failed with; `connection_lost`, `transfer_failed`, `disk_full`, `cancelled`
 */
export async function downloadModel(runner: Runner, from: string, to: string, options: Options): Promise<number> {
  const { host } = runner;
  const isHere = host.id === 'local';
  const here = join(dirname(to), `.${basename(to)}.${randomBytes(4).toString('hex')}.part`);
  const there = isHere ? here : `${await host.home()}/.tuneyard/exports/${randomBytes(6).toString('hex')}`;
  try {
    options.report(l10n.t('Preparing the model'));
    await shell(host, 'mkdir -p "$1"', [dirname(there)]);
    await runner.job(['export', from, '--out', there], { signal: options.signal });
    const files = await filesOf(host, there, options.signal);
    if (!isHere) await fetchFiles(host, files, there, here, options);
    await rename(here, to);
    return files.reduce((sum, { bytes }) => sum + bytes, 0);
  } finally {
    await rm(here, { recursive: true, force: true });
    if (!isHere) await host.exec(['rm', '-rf', there]).catch(() => undefined);
  }
}

interface RemoteFile {
  name: string;
  bytes: number;
}

async function fetchFiles(
  host: Host,
  files: readonly RemoteFile[],
  there: string,
  here: string,
  { signal, report }: Options,
): Promise<void> {
  const total = files.reduce((sum, { bytes }) => sum + bytes, 0);
  await mkdir(here, { recursive: true });
  let done = 0;
  for (const { name, bytes } of files) {
    const onProgress = (now: number) => report(l10n.t('Fetching {0}', name), (done + now) / total);
    await fetchFile(host, `${there}/${name}`, join(here, name), { signal, onProgress });
    done += bytes;
  }
}

/** Whole and right; what is damaged is fetched once more. */
async function fetchFile(host: Host, remote: string, local: string, options: TransferOptions): Promise<void> {
  for (let attempt = 0; attempt < 2; attempt++) {
    await fetchToEnd(host, remote, local, options);
    const wanted = await sumOf(host, remote, options.signal);
    if (wanted === '' || wanted === (await sha256Of(local))) return;
    await rm(local, { force: true });
  }
  throw new TuneyardError(
    'transfer_failed',
    l10n.t('{0} arrives damaged from {1}; check the disks and try again.', remote, host.label),
  );
}

/** Goes on where a lost connection broke it off, as long as it gets any further. */
async function fetchToEnd(host: Host, remote: string, local: string, options: TransferOptions): Promise<void> {
  for (let failures = 0; ; ) {
    const from = await bytesOf(local);
    try {
      return await host.download(remote, local, { ...options, from });
    } catch (error) {
      const isLost = error instanceof TuneyardError && ['connection_lost', 'timed_out'].includes(error.code);
      failures = (await bytesOf(local)) > from ? 1 : failures + 1;
      if (!isLost || failures > MAX_FAILURES) throw error;
    }
  }
}

/** Empty where the host has no program for it. */
async function sumOf(host: Host, path: string, signal: AbortSignal | undefined): Promise<string> {
  const script = `{ sha256sum "$1" || shasum -a 256 "$1"; } 2>/dev/null | cut -d ' ' -f 1`;
  const sum = await shell(host, script, [path], { timeoutMs: SUM_LIMIT_MS, ...(signal && { signal }) });
  return sum.trim();
}

async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const piece of createReadStream(path)) hash.update(piece);
  return hash.digest('hex');
}

async function bytesOf(path: string): Promise<number> {
  return (await stat(path).catch(() => undefined))?.size ?? 0;
}

async function filesOf(host: Host, folder: string, signal: AbortSignal): Promise<RemoteFile[]> {
  const names = (await shell(host, 'cd "$1" && ls -1', [folder], { signal })).split('\n').filter(Boolean);
  const found = names.map(async (name) => {
    const file = await host.stat(`${folder}/${name}`);
    return file?.kind === 'file' ? [{ name, bytes: file.bytes }] : [];
  });
  const files = (await Promise.all(found)).flat();
  if (files.length > 0) return files;
  throw new TuneyardError('transfer_failed', l10n.t('The exported model on {0} is empty; see the log.', host.label));
}
