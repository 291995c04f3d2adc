/** What crosses between a thread and the one who started it. */
import { type ErrorCode, type ErrorPlace, TuneyardError } from '@protocol/errors';

/** What the bundle is given where it is to be a thread for data. */
export const DATA_THREAD = 'tuneyard-data';

export type ToWorker = { type: 'run'; id: number; name: string; params: unknown } | { type: 'cancel'; id: number };

export type FromWorker =
  | { id: number; type: 'piece'; piece: unknown }
  | { id: number; type: 'done'; result: unknown }
  | { id: number; type: 'failed'; error: PlainError };

export interface PlainError {
  code: ErrorCode;
  what: string;
  place?: ErrorPlace;
  data: Record<string, unknown>;
}

export function toPlain(error: unknown): PlainError {
  if (error instanceof TuneyardError) {
    const { code, what, place, data } = error;
    return { code, what, data, ...(place && { place }) };
  }
  return { code: 'internal', what: error instanceof Error ? (error.stack ?? error.message) : String(error), data: {} };
}

export function fromPlain({ code, what, place, data }: PlainError): TuneyardError {
  return new TuneyardError(code, what, { data, ...(place && { place }) });
}
