/** Reports that were made once, under the runner's home: the same data, looked at with the same settings, is not gone through again. */
import { createHash } from 'node:crypto';
import { mkdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { DatasetReport } from '@protocol/dataset';
import { replaceFile } from '../../hub/durableFile';
import { tuneyardHome } from '../../runs/runDir';
import { forgetOldest } from '../index/indexCache';
import type { ReportParams } from './reportTypes';

/** Raised when the same data would give another report. */
const VERSION = 1;
const MOST_FILES = 200;

/** @param keys of the files */
export async function reportKey(
  keys: readonly string[],
  { view, seed, heldOut, weights }: ReportParams,
): Promise<string> {
  const { model } = view;
  const tokenizer = model === undefined ? undefined : await stat(join(model, 'tokenizer.json')).catch(() => undefined);
  const facts = {
    VERSION,
    keys,
    view,
    seed,
    heldOut,
    weights,
    tokenizer: tokenizer && [tokenizer.size, tokenizer.mtimeMs],
  };
  return createHash('sha256').update(JSON.stringify(facts)).digest('hex').slice(0, 32);
}

export async function loadReport(key: string): Promise<DatasetReport | undefined> {
  try {
    return { ...(JSON.parse(await readFile(join(folder(), key), 'utf8')) as DatasetReport), cached: true };
  } catch {
    return undefined;
  }
}

/** A home that cannot be written is no reason not to show a report. */
export async function saveReport(key: string, report: DatasetReport): Promise<void> {
  try {
    await mkdir(folder(), { recursive: true });
    await replaceFile(join(folder(), key), [new TextEncoder().encode(JSON.stringify(report))]);
    await forgetOldest(folder(), MOST_FILES);
  } catch {
    // As said.
  }
}

function folder(): string {
  return join(tuneyardHome(), 'cache', 'reports');
}
