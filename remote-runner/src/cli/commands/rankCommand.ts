import { hostname } from 'node:os';
import { Command } from 'commander';
import { type RankTask, STOP, toLines } from '../../jobs/rankMessages';
import { asTuneyardError } from '../asTuneyardError';
import type { CliContext } from '../context';

/** One of the processes that train together: `tuneyard train` has mpirun start them. */
export function rankCommand(context: CliContext): Command {
  return new Command('rank')
    .description('one of the processes of a training on several ranks; "tuneyard train" starts them')
    .argument('<task>', 'what to do, as train says it')
    .action((task: string) => rank(context, JSON.parse(Buffer.from(task, 'base64').toString()) as RankTask));
}

async function rank({ streams }: CliContext, { family, ...task }: RankTask): Promise<void> {
  const { openMpi } = await import('../../collectives/mpi');
  const { trainJob } = await import('../../jobs/trainJob');
  const collective = openMpi(family);
  const isFirst = collective.rank === 0;
  const say = (message: Parameters<typeof toLines>[0]) => void (isFirst && streams.stdout.write(toLines(message)));
  const log = (text: string) => {
    for (const line of text.trimEnd().split('\n')) streams.stderr.write(`[rank ${collective.rank}] ${line}\n`);
  };
  log(`process ${process.pid} on ${hostname()}`);
  const stop = new AbortController();
  if (isFirst) listen(stop);
  try {
    const result = await trainJob({
      ...task,
      collective,
      signal: stop.signal,
      emit: (event) => say({ type: 'event', event }),
      onStage: (stage) => {
        log(stage);
        say({ type: 'stage', stage });
      },
    });
    await collective.close();
    say({ type: 'done', result });
    // What else holds the process, such as its listening, ends with it.
    streams.stdout.write('', () => process.exit(0));
  } catch (error) {
    const { code, what, place, data, message, stack } = asTuneyardError(error);
    log(code === 'internal' ? (stack ?? message) : message);
    say({ type: 'failed', code, what, ...(place && { place }), data });
    // The others wait for this one: mpirun ends them.
    streams.stdout.write('', () => process.exit(1));
    await new Promise(() => {});
  }
}

/** Whoever started the ranks says when to stop; where it is gone, so are they. */
function listen(stop: AbortController): void {
  process.stdin.on('data', (text: Buffer) => {
    if (text.toString().includes(STOP.trim())) stop.abort();
  });
  process.stdin.on('end', () => process.exit(1));
}
