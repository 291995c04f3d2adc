/** A model, or a run, as a person names it on the command line. */
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { resolve } from 'node:path';
import { TuneyardError } from '@protocol/errors';
import { openRun } from '../runs/runDir';

/** A path from the working folder becomes absolute; a run's id and a name on the hub stay as they are. */
export function modelArgument(name: string): string {
  const path = resolve(name.replace(/^~(?=$|[/\\])/, homedir()));
  return existsSync(path) || /^(~|\.\.?)($|[/\\])/.test(name) ? path : name;
}

/**
 * The directory of a run, or undefined where this names none.
 * @throws TuneyardError `usage` where the ids of several runs begin so
 */
export async function findRun(idOrDir: string): Promise<string | undefined> {
  try {
    return (await openRun(idOrDir)).dir;
  } catch (error) {
    if (error instanceof TuneyardError && error.code === 'run_not_found') return undefined;
    throw error;
  }
}
