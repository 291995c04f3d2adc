/** Pairs of texts of which a person found one better, one JSON object a line, as trainers of preferences read them. */
import { appendFile, open } from 'node:fs/promises';

export interface Preference {
  prompt: string;
  chosen: string;
  rejected: string;
  /** Hashes of the weights that wrote them. */
  chosen_weights: string;
  rejected_weights: string;
  /** ISO 8601. */
  time: string;
}

/** Adds a pair to a file, which is made where there is none. */
export async function appendPreference(file: string, pair: Preference): Promise<void> {
  await appendFile(file, `${(await endsInLine(file)) ? '\n' : ''}${JSON.stringify(pair)}\n`);
}

/** Whether the last line was left open, by hand or by a full disk. */
async function endsInLine(file: string): Promise<boolean> {
  try {
    const handle = await open(file);
    try {
      const { size } = await handle.stat();
      if (size === 0) return false;
      const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, size - 1);
      return buffer.toString() !== '\n';
    } finally {
      await handle.close();
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}
