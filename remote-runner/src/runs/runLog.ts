import { appendFileSync } from 'node:fs';

/** `runner.log`: details for whoever looks into a run that went wrong. Never fails the run. */
export class RunLog {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  write(text: string): void {
    const indented = text.trimEnd().replaceAll('\n', '\n  ');
    try {
      appendFileSync(this.#path, `${new Date().toISOString()} ${indented}\n`);
    } catch {
      // A full disk stops the run where it matters: at its events and checkpoints.
    }
  }
}
