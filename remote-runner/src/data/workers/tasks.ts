/** What threads do for a dataset. A new task is a line here and one in the table of dataWorker.ts. */

import type { DatasetReport } from '@protocol/dataset';
import type { IndexPiece } from '../index/buildIndex';
import type { ScannerKind } from '../index/scanner';
import type {
  AnalyseParams,
  ChunkFacts,
  PartsParams,
  PrepareParams,
  ReportParams,
  RowParts,
} from '../report/reportTypes';
import type { PackedSamples } from './packedSamples';
import type { TokenizeParams } from './tokenizeParams';

export interface Tasks {
  /** Goes through a file; the index comes in pieces. */
  index: { params: { path: string; kind: ScannerKind; hasHeader: boolean }; piece: IndexPiece; result: null };
  /** Which rows train and which are held out; with a filter also which are left out. */
  parts: { params: PartsParams; piece: never; result: RowParts };
  /** Rows as training sees them. */
  tokenize: { params: TokenizeParams; piece: never; result: PackedSamples };
  /** Before `analyse`. */
  prepare: { params: PrepareParams; piece: never; result: null };
  analyse: { params: AnalyseParams; piece: never; result: ChunkFacts };
  /** Has threads of its own, of which each does the two above. */
  report: { params: ReportParams; piece: { done: number; total: number }; result: DatasetReport };
  duplicates: { params: ReportParams & { near: boolean }; piece: { done: number; total: number }; result: Uint32Array };
}

export type TaskName = keyof Tasks;

/** How a task is done. */
export type TaskHandlers = {
  [N in TaskName]: (
    params: Tasks[N]['params'],
    tell: (piece: Tasks[N]['piece']) => void,
    signal: AbortSignal,
  ) => Promise<Tasks[N]['result']>;
};
