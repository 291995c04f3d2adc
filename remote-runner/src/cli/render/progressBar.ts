import { SingleBar } from 'cli-progress';
import type { Output } from '../output';

/** A bar with a text behind it in the terminal's last line; whatever else is printed goes above it. */
export class ProgressBar {
  private readonly bar: SingleBar;

  /** @param total what is done when the bar is full */
  constructor(
    private readonly output: Output,
    total: number,
  ) {
    this.bar = new SingleBar({
      stream: output.terminal,
      format: '{bar} {value}/{total}  {text}',
      barsize: Math.max(8, Math.min(30, output.columns - 70)),
      barCompleteChar: '█',
      barIncompleteChar: '░',
      linewrap: null,
      clearOnComplete: true,
      // Signals have their own handlers.
      gracefulExit: false,
    });
    this.bar.start(total, 0, { text: '' });
    output.keepBelow({ draw: () => this.bar.render() });
  }

  update(value: number, text: string): void {
    this.bar.update(value, { text });
    // An engine run blocks the timer that would draw it.
    this.bar.render();
  }

  stop(): void {
    this.output.keepBelow(undefined);
    this.bar.stop();
  }
}
