/** Keeps a thread's garbage small: V8 lets it gather until it is twice what is in use, in every thread anew. */
import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

const MOST_GARBAGE = 32 << 20;

let collect: (() => void) | undefined;
let left = 0;

/** To be called between pieces of work. */
export function collectGarbage(): void {
  const { used_heap_size: used } = getHeapStatistics();
  if (used - left < MOST_GARBAGE) return;
  if (!collect) {
    setFlagsFromString('--expose-gc');
    collect = runInNewContext('gc') as () => void;
  }
  collect();
  left = getHeapStatistics().used_heap_size;
}
