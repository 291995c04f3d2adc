import { TuneyardError } from '@protocol/errors';

/** ONNX Runtime's failure as one of the catalogue. @param doing "running graph body-forward" */
export function engineError(cause: unknown, doing: string): TuneyardError {
  const message = cause instanceof Error ? cause.message : String(cause);
  if (/allocat|out of memory|bad_alloc/i.test(message)) {
    return new TuneyardError(
      'out_of_memory',
      `not enough memory while ${doing}: lower per_device_train_batch_size or max_length (${message}).`,
      { cause },
    );
  }
  return new TuneyardError('engine_failed', `ONNX Runtime failed while ${doing} (${message.trim()}).`, { cause });
}
