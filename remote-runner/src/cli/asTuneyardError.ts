import { TuneyardError } from '@protocol/errors';

/** Whatever was thrown as something that may be shown: a fault of ours is called one. */
export function asTuneyardError(error: unknown): TuneyardError {
  if (error instanceof TuneyardError) return error;
  const what = error instanceof Error ? error.message : String(error);
  return new TuneyardError(
    'internal',
    `this is a fault in Tuneyard (${what.replace(/\.$/, '')}); TUNEYARD_DEBUG=1 shows where.`,
    { cause: error },
  );
}
