/** A model brought from a host to this machine: made ready by the runner there, fetched file by file. */
import { randomBytes } from 'node:crypto';
import { mkdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';
import { shell } from '../runner/remoteDir';
import type { OnProgress, Runner } from '../runner/runner';

/**
 * @param from run's model or checkpoint on the host
 * @param to folder of this machine, which must not exist yet; it is there once it is whole
 * @returns its bytes
 */
export async function downloadModel(
  runner: Runner,
  from: string,
  to: string,
  { signal, report }: { signal: AbortSignal; report: OnProgress },
): Promise<number> {
  const { host } = runner;
  const there = `${await host.home()}/.tuneyard/exports/${randomBytes(6).toString('hex')}`;
  const here = join(dirname(to), `.${basename(to)}.part`);
  try {
    report(l10n.t('Preparing the model'));
    await shell(host, 'mkdir -p "$1"', [dirname(there)]);
    await runner.job(['export', from, '--out', there], { signal });
    const files = await filesOf(runner, there, signal);
    const total = files.reduce((sum, { bytes }) => sum + bytes, 0);
    await rm(here, { recursive: true, force: true });
    await mkdir(here, { recursive: true });
    let done = 0;
    for (const { name, bytes } of files) {
      await host.download(`${there}/${name}`, join(here, name), {
        signal,
        onProgress: (now) => report(l10n.t('Fetching {0}', name), (done + now) / total),
      });
      done += bytes;
    }
    await rename(here, to);
    return total;
  } finally {
    await rm(here, { recursive: true, force: true });
    await host.exec(['rm', '-rf', there]).catch(() => undefined);
  }
}

async function filesOf(
  { host }: Runner,
  folder: string,
  signal: AbortSignal,
): Promise<{ name: string; bytes: number }[]> {
  const names = (await shell(host, 'cd "$1" && ls -1', [folder], { signal })).split('\n').filter(Boolean);
  const found = names.map(async (name) => {
    const stat = await host.stat(`${folder}/${name}`);
    return stat?.kind === 'file' ? [{ name, bytes: stat.bytes }] : [];
  });
  const files = (await Promise.all(found)).flat();
  if (files.length > 0) return files;
  throw new TuneyardError('transfer_failed', l10n.t('The exported model on {0} is empty; see the log.', host.label));
}
