/** Holds the lock of `DIR` and says `held`. Asked to stop it only counts; for each line of its input it tells how often. */
import { acquireLock } from '@runner/runs/runLock';

let asked = 0;
process.on('SIGINT', () => asked++);
await acquireLock(process.argv[2]!);
process.stdout.write('held\n');
for await (const _ of process.stdin) process.stdout.write(`${asked}\n`);
