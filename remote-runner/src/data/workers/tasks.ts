/** What threads do for a dataset. A new task is a line here and one in the table of dataWorker.ts. */
import type { IndexPiece } from '../index/buildIndex';
import type { ScannerKind } from '../index/scanner';

export interface Tasks {
  /** Goes through a file; the index comes in pieces. */
  index: { params: { path: string; kind: ScannerKind; hasHeader: boolean }; piece: IndexPiece; result: null };
}

export type TaskName = keyof Tasks;

/** How a task is done. Buffers in `transfer` go with the answer and are not copied. */
export type TaskHandlers = {
  [N in TaskName]: (
    params: Tasks[N]['params'],
    tell: (piece: Tasks[N]['piece']) => void,
    signal: AbortSignal,
  ) => Promise<Tasks[N]['result']>;
};
