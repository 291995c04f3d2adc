/** Never ends by itself: what a command in a very long step is to whoever presses Ctrl-C. */
import { writeSync } from 'node:fs';
import { listenForInterrupts } from '@runner/cli/interrupts';

const { signal } = listenForInterrupts({
  first: (name) => writeSync(1, `first ${name}\n`),
  second: (name) => writeSync(1, `second ${name}\n`),
});
signal.addEventListener('abort', () => writeSync(1, 'aborted\n'));
setInterval(() => {}, 1000);
writeSync(1, 'ready\n');
