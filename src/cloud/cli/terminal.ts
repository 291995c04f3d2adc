/** What a command says and asks: text for a person, or with `--json` one object a line. */
import { createInterface } from 'node:readline/promises';
import { TuneyardError } from '@protocol/errors';

export interface Terminal {
  readonly json: boolean;
  /** A result: the object for a program, the text for a person. */
  result(data: unknown, text: string): void;
  /** What happens on the way. */
  progress(data: unknown, text: string): void;
  /** @throws TuneyardError `usage` where nobody can be asked; `cancelled` for a no */
  confirm(question: string): Promise<void>;
}

export function openTerminal({ json = false, yes = false }: { json?: boolean; yes?: boolean }): Terminal {
  const line = (data: unknown) => process.stdout.write(`${JSON.stringify(data)}\n`);
  return {
    json,
    result: (data, text) => void (json ? line(data) : process.stdout.write(`${text}\n`)),
    progress: (data, text) => void (json ? line(data) : process.stderr.write(`${text}\n`)),
    confirm: async (question) => {
      if (yes) return;
      if (!process.stdin.isTTY) {
        throw new TuneyardError('usage', `${question} Nobody can be asked here: say --yes if you mean it.`);
      }
      const asking = createInterface({ input: process.stdin, output: process.stderr });
      const answer = await asking.question(`${question} [y/N] `).finally(() => asking.close());
      if (!/^y(es)?$/i.test(answer.trim())) throw new TuneyardError('cancelled', 'Nothing was done.');
    },
  };
}
