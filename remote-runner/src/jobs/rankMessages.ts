/**
 * What rank 0 tells the process that started the ranks, through mpirun: JSON, cut into short lines, because mpirun passes
 * on what it gets in pieces of a few kilobytes.
 */
import type { ErrorCode, ErrorPlace } from '@protocol/errors';
import type { RunEventBody } from '@protocol/events';
import type { TrainResult } from '@protocol/runner';
import type { LoadedRecipe } from './requests';

export type FromRank =
  | { type: 'event'; event: RunEventBody }
  | { type: 'stage'; stage: string }
  | { type: 'done'; result: TrainResult }
  | { type: 'failed'; code: ErrorCode; what: string; place?: ErrorPlace; data: Record<string, unknown> };

/** What each rank is started with. */
export interface RankTask extends LoadedRecipe {
  runId: string;
  runDir: string;
  family: 'openmpi' | 'mpich';
}

/** To rank 0's standard input: stop, with a checkpoint. Its end means that nobody listens any more. */
export const STOP = 'stop\n';

const LINE = 1000;
const MORE = '+';
const END = '.';

export function toLines(message: FromRank): string {
  const text = JSON.stringify(message);
  let lines = '';
  for (let at = 0; at < text.length; at += LINE) {
    const isLast = at + LINE >= text.length;
    lines += `${isLast ? END : MORE}${text.slice(at, at + LINE)}\n`;
  }
  return lines;
}

/** Puts them together again; whatever else stands between them is left out. */
export class RankLines {
  #text = '';

  /** @param line without its end */
  push(line: string): FromRank | undefined {
    if (!line.startsWith(MORE) && !line.startsWith(END)) return undefined;
    this.#text += line.slice(1);
    if (line.startsWith(MORE)) return undefined;
    const text = this.#text;
    this.#text = '';
    return JSON.parse(text) as FromRank;
  }
}
