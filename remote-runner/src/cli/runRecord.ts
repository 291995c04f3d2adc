import type { EndEvent, RunEventBody } from '@protocol/events';
import type { EventLog } from '../runs/eventLog';
import { asTuneyardError } from './asTuneyardError';
import type { Output } from './output';
import type { TrainView } from './render/trainView';

/** What a run says: into its event log first, then to whoever watches. */
export class RunRecord {
  /** Whether training has begun; before that a run that went before in this folder is left as it was. */
  started = false;
  private ended = false;
  /** Whether it waited for its device: whoever read of that must read of its end. */
  private waited = false;
  /** Where it stands: a resumed run that ends before it goes on has still come that far. */
  private step: number;
  private readonly began = performance.now();
  private readonly isFirst: boolean;

  constructor(
    private readonly output: Output,
    private readonly view: TrainView,
    private readonly log: EventLog,
  ) {
    this.isFirst = log.lastSeq === 0;
    this.step = log.lastStep;
  }

  emit(body: RunEventBody): void {
    const event = this.log.append(body);
    if (body.type === 'start') this.started = true;
    if (body.type === 'end') this.ended = true;
    this.step = body.step;
    this.output.data(event);
    this.view.show(event);
  }

  /** The run waits for its device behind others. */
  wait(device: string, behind: string[]): void {
    const event = this.log.append({ type: 'queued', step: this.step, device, behind });
    this.waited = true;
    this.output.data(event);
    this.view.show(event);
  }

  /** Says in the run's own files why it failed; the caller tells the person. */
  fail(error: unknown): void {
    const { code, message } = asTuneyardError(error);
    this.output.log?.write(`${message}\n${error instanceof Error ? error.stack : ''}`);
    this.end(code === 'cancelled' ? { status: 'stopped' } : { status: 'failed', code, message });
  }

  /** The last event, where there is none yet. Never throws. */
  end(how: Pick<EndEvent, 'status' | 'code' | 'message'>): void {
    if (this.ended || !(this.started || this.waited || this.isFirst)) return;
    try {
      this.emit({ type: 'end', step: this.step, runtime: (performance.now() - this.began) / 1000, ...how });
    } catch {
      // A full disk takes no more events; what a person needs to know is the first error.
    }
  }
}
