/** The command line as a person or a program uses it, and a small model and data set to use it on. */
import { spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { main } from '@runner/cli';
import { modelFolder } from '../decode/namedModel';

interface Outcome {
  status: number;
  stdout: string;
  stderr: string;
  /** The lines of stdout, parsed: for `--json`. */
  objects(): Record<string, unknown>[];
}

class Capture extends Writable {
  text = '';
  constructor(
    readonly isTTY: boolean,
    readonly columns: number,
  ) {
    super();
  }
  override _write(piece: Buffer, _: string, done: () => void): void {
    this.text += piece.toString();
    done();
  }
}

/** Runs a command in this process. */
export async function tuneyard(argv: string[], { terminal = false, columns = 100 } = {}): Promise<Outcome> {
  const [stdout, stderr] = [new Capture(terminal, columns), new Capture(terminal, columns)];
  const status = await main(argv, { stdout, stderr });
  return {
    status,
    stdout: stdout.text,
    stderr: stderr.text,
    objects: () =>
      stdout.text
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as Record<string, unknown>),
  };
}

/** Starts a command as a process of its own, for what concerns signals and terminals. */
export function tuneyardProcess(argv: string[]) {
  return scriptProcess('cliProcess', argv);
}

/** Starts a script of this folder as a process of its own. */
export function scriptProcess(name: string, argv: string[]) {
  const script = fileURLToPath(new URL(`${name}.ts`, import.meta.url));
  return spawn(process.execPath, ['--import', 'tsx', script, ...argv], {
    cwd: fileURLToPath(new URL('../../..', import.meta.url)),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

const ENDS = ['south', 'road', 'end', 'old'];

/** A folder with `model`, `data.jsonl` and `tiny.tune.json`. @returns the recipe's path */
export async function tinyProject(dir: string, more: Record<string, unknown> = {}): Promise<string> {
  await modelFolder(join(dir, 'model'), 1);
  const rows = Array.from({ length: 40 }, (_, i) => ({
    text: `the mage ${i} of the north`,
    target: ` and the sword of the ${ENDS[i % ENDS.length]}`,
  }));
  await writeFile(join(dir, 'data.jsonl'), rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  const recipe = {
    model: './model',
    dataset: './data.jsonl',
    max_length: 64,
    learning_rate: 1e-2,
    max_steps: 4,
    per_device_train_batch_size: 4,
    logging_steps: 2,
    generation: { prompts: ['the old mage'], max_new_tokens: 8 },
    ...more,
  };
  const file = join(dir, 'tiny.tune.json');
  await writeFile(file, JSON.stringify(recipe));
  return file;
}

/** What a terminal shows after some output: the few escape sequences that are used here, obeyed. */
export function screen(output: string): string[] {
  const lines = [''];
  let column = 0;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences are what is looked for
  for (const [piece] of output.matchAll(/\u001b\[\d*[A-Za-z]|\n|[^\u001b\n]+/g)) {
    const last = lines.length - 1;
    if (piece === '\n') {
      lines.push('');
      column = 0;
    } else if (piece === '\u001b[1G') column = 0;
    else if (piece === '\u001b[2K') lines[last] = '';
    else if (!piece.startsWith('\u001b')) {
      const line = lines[last]!.padEnd(column);
      lines[last] = line.slice(0, column) + piece + line.slice(column + piece.length);
      column += piece.length;
    }
  }
  return lines;
}
