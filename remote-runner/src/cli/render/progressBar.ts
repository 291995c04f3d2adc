import type { Output } from '../output';

const BAR_COLUMNS = 30;
/** Columns for the figures behind the bar. */
const TEXT_COLUMNS = 70;

/**
 * A bar with a text behind it in the terminal's last line; whatever else is printed goes above it. It draws itself when
 * it is told something new, not by a clock: an engine run blocks every timer.
 */
export class ProgressBar {
  private line = '';

  /** @param total what is done when the bar is full */
  constructor(
    private readonly output: Output,
    private readonly total: number,
  ) {
    output.keepBelow({ text: () => this.line });
  }

  update(value: number, text: string): void {
    const columns = Math.max(8, Math.min(BAR_COLUMNS, this.output.columns - TEXT_COLUMNS));
    const full = Math.round(columns * Math.min(1, value / this.total));
    const bar = '█'.repeat(full) + '░'.repeat(columns - full);
    this.line = `${bar} ${value}/${this.total}  ${text}`;
    this.output.redraw();
  }

  stop(): void {
    this.output.keepBelow(undefined);
  }
}
