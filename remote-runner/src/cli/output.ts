/**
 * What a command says. Results go to stdout: text for a person, or with `--json` one object a line for a program.
 * Warnings and errors go to stderr. A run's `runner.log` gets all of it as text, whatever the terminal is shown.
 */
import { clearLine, cursorTo } from 'node:readline';
import pico from 'picocolors';
import type { RunLog } from '../runs/runLog';
import type { Streams, TextStream } from './streams';

/** Width of a table where the output is no terminal. */
const PLAIN_COLUMNS = 120;

/** A line at the bottom of the terminal that other text must not run into: a progress bar. */
export interface LiveLine {
  text(): string;
}

export interface OutputOptions {
  json?: boolean | undefined;
  quiet?: boolean | undefined;
}

export class Output {
  readonly json: boolean;
  /** Whether a person sees stdout as it comes: lines may be redrawn, and have colours. */
  readonly isTerminal: boolean;
  readonly colors: ReturnType<typeof pico.createColors>;
  /** Gets a copy of all text. */
  log: RunLog | undefined;
  private readonly quiet: boolean;
  private live: LiveLine | undefined;
  /** Whether the cursor stands behind a line that is to be drawn over. */
  private isDrawn = false;

  constructor(
    private readonly streams: Streams,
    { json = false, quiet = false }: OutputOptions = {},
  ) {
    this.json = json;
    this.quiet = quiet;
    this.isTerminal = !json && streams.stdout.isTTY === true && process.env.TERM !== 'dumb';
    this.colors = pico.createColors(this.isTerminal && !process.env.NO_COLOR);
  }

  get showsProgressBar(): boolean {
    return this.isTerminal && !this.quiet;
  }

  get columns(): number {
    return this.streams.stdout.columns || Number(process.env.COLUMNS) || PLAIN_COLUMNS;
  }

  /** A result for a person. */
  print(text = ''): void {
    this.log?.write(stripColors(text));
    if (!this.json) this.write(this.streams.stdout, `${text}\n`);
  }

  /** What happens on the way: left out with `--quiet`. */
  progress(text: string): void {
    if (this.quiet) this.log?.write(stripColors(text));
    else this.print(text);
  }

  /** As {@link progress}, where the log holds it in another form already. */
  unlogged(text: string): void {
    if (!this.quiet && !this.json) this.write(this.streams.stdout, `${text}\n`);
  }

  /** A piece of a line. */
  inline(text: string): void {
    this.status('');
    if (!this.json) this.streams.stdout.write(text);
  }

  /** A result for a program: one line, only with `--json`. */
  data(value: object): void {
    if (this.json) this.write(this.streams.stdout, `${JSON.stringify(value)}\n`);
  }

  /** Something a person must see whatever becomes of stdout. */
  message(text: string): void {
    this.log?.write(stripColors(text));
    this.write(this.streams.stderr, `${text}\n`);
  }

  /** What goes on right now, over what went on before; only on a terminal. '' takes it away. */
  status(text: string): void {
    this.keepBelow(text === '' ? undefined : { text: () => text });
  }

  /** Keeps a line below all that is printed from now on; `undefined` ends that. */
  keepBelow(line: LiveLine | undefined): void {
    if (!this.showsProgressBar) return;
    this.live = line;
    this.redraw();
  }

  /** Draws the line below anew. */
  redraw(): void {
    this.clear();
    const text = this.live?.text() ?? '';
    if (text === '') return;
    // A line that wraps could not be drawn over.
    this.streams.stdout.write(this.colors.dim([...text].slice(0, this.columns - 1).join('')));
    this.isDrawn = true;
  }

  private write(stream: TextStream, text: string): void {
    this.clear();
    stream.write(text);
    this.redraw();
  }

  private clear(): void {
    if (!this.isDrawn) return;
    cursorTo(this.streams.stdout, 0);
    clearLine(this.streams.stdout, 0);
    this.isDrawn = false;
  }
}

function stripColors(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the escape character is what is looked for
  return text.replaceAll(/\u001b\[[\d;]*m/g, '');
}
