import { once } from 'node:events';
import { describe, expect, it, onTestFinished } from 'vitest';
import { scriptProcess } from './support';

describe('Ctrl-C', () => {
  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)(
    'asks a command to end (%s); passed on twice by npm it counts once; pressed again it ends at once',
    async (signal, status) => {
      const child = scriptProcess('interruptsProcess', []);
      let said = '';
      child.stdout.on('data', (data) => {
        said += data;
        // What the terminal sent, npm sends as well.
        if (said === 'ready\n') for (let i = 0; i < 2; i++) child.kill(signal);
        if (said.endsWith('aborted\n')) pressing ??= setInterval(() => child.kill(signal), 50);
      });
      let pressing: NodeJS.Timeout | undefined;
      onTestFinished(() => clearInterval(pressing));
      expect(await once(child, 'exit')).toEqual([status, null]);
      expect(said).toBe(`ready\nfirst ${signal}\naborted\nsecond ${signal}\n`);
    },
  );
});
