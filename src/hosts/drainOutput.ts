/** The last output of a process that has ended. */
import type { Readable, Transform } from 'node:stream';

/** How long output may be silent after a process ended: what it started may hold its pipes for ever. */
const QUIET_MS = 1000;

/** Resolves when all that was piped has come to its end, or nothing more comes: then the targets are ended. */
export function drainOutput(pipes: readonly (readonly [Readable, Transform])[]): Promise<void> {
  return new Promise((resolve) => {
    const open = new Set(pipes);
    let timer: NodeJS.Timeout | undefined;
    const finish = () => {
      clearTimeout(timer);
      for (const [source, target] of open) {
        // What nobody reads yet stays to be read; it ends by itself
        if (target.writableNeedDrain) continue;
        source.unpipe(target);
        target.end();
      }
      resolve();
    };
    const wait = () => {
      clearTimeout(timer);
      timer = setTimeout(finish, QUIET_MS);
    };
    wait();
    for (const pipe of pipes) {
      const [source, target] = pipe;
      const ended = () => {
        open.delete(pipe);
        target.end();
        if (open.size === 0) finish();
      };
      if (source.readableEnded || source.closed) ended();
      else source.on('data', wait).once('end', ended).once('close', ended);
    }
  });
}
