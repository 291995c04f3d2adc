/** Watching a file by looking at it again and again: works on every file system and over every connection. */
import type { Disposable } from 'vscode-jsonrpc';
import type { FileStat } from './host';

const INTERVAL_MS = 1000;

/**
 * @param look the file now; undefined where there is none
 * @param ready whether to look at all now; where not, the next look compares with the last one that was
 */
export function pollWatch(
  look: () => Promise<FileStat | undefined>,
  listener: (stat: FileStat | undefined) => void,
  ready: () => boolean = () => true,
): Disposable {
  let last: FileStat | undefined | 'unseen' = 'unseen';
  let disposed = false;
  let timer: NodeJS.Timeout | undefined;
  const poll = async (): Promise<void> => {
    try {
      if (ready()) {
        const now = await look();
        const first = last === 'unseen';
        const changed = !first && !same(last as FileStat | undefined, now);
        last = now;
        if (changed && !disposed) listener(now);
      }
    } catch {
      // Out of reach for now; the next look tells
    }
    if (!disposed) timer = setTimeout(poll, INTERVAL_MS);
  };
  void poll();
  return {
    dispose: () => {
      disposed = true;
      clearTimeout(timer);
    },
  };
}

function same(a: FileStat | undefined, b: FileStat | undefined): boolean {
  return a?.kind === b?.kind && a?.bytes === b?.bytes && a?.modified === b?.modified;
}
