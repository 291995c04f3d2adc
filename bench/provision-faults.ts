/**
 * 100 VMs are made and deleted while something goes wrong in each of the two: an error, a lost answer, a request that arrives
 * twice, a process that is killed. Nothing may be left that nobody knows of.
 *
 * usage: npm run bench -- provision-faults [--provisions N] [--seed N]
 */
import { parseArgs } from 'node:util';
import { liveFaultily } from '../test/cloud/faultyLives';

const { values } = parseArgs({
  options: { provisions: { type: 'string', default: '100' }, seed: { type: 'string', default: '1' } },
});
const started = performance.now();
const { notes, killed, made, ...counts } = await liveFaultily(Number(values.provisions), Number(values.seed), (text) =>
  console.log(text),
);
for (const note of notes) console.log(note);
const minutes = (performance.now() - started) / 60_000;
console.log(`${made} VMs came to be, ${killed} processes were killed, in ${minutes.toFixed(1)} min`);
console.log(JSON.stringify({ bench: 'provision-faults', ...counts }));
