/** A process that saves one checkpoint after the other until it is killed: `writerProcess ROOT BASE`. */
import { writeCheckpoint } from '@runner/train/checkpoint';
import { checkpointOf } from './fixtures';

const [root, base] = process.argv.slice(2) as [string, string];
for (let step = 1; ; step++) {
  // Every second one replaces the one before it.
  await writeCheckpoint(checkpointOf(root, base, Math.ceil(step / 2), 500_000));
  process.stdout.write(`${Math.ceil(step / 2)}\n`);
}
