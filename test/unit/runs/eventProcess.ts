/** A process that writes three events into `DIR` and dies at once, without a chance to flush anything. */
import { openEventLog } from '@runner/runs/eventLog';

const log = await openEventLog(process.argv[2]!);
for (let step = 1; step <= 3; step++) log.append({ type: 'warning', step, code: 'test', message: `ä${step}` });
process.kill(process.pid, 'SIGKILL');
