/**
 * The error catalogue. Whatever a person may see crosses a program's boundary as a {@link TuneyardError}:
 * a stable code, one sentence that says what happened, where, and what to do, and data for a program to act on.
 */

/** Every failure the programs report. `exit` is the runner's exit status: 2 is bad input, 1 is everything else. */
export const ERROR_CODES = {
  // bad input (exit 2)
  usage: { exit: 2 },
  file_not_found: { exit: 2 },
  recipe_invalid: { exit: 2 },
  dataset_invalid: { exit: 2 },
  dataset_empty: { exit: 2 },
  column_missing: { exit: 2 },
  template_invalid: { exit: 2 },
  encoding_invalid: { exit: 2 },
  no_supervised_tokens: { exit: 2 },
  model_invalid: { exit: 2 },
  model_unsupported: { exit: 2 },
  weights_invalid: { exit: 2 },
  weights_pickled: { exit: 2 },
  tokenizer_invalid: { exit: 2 },
  vocabulary_too_small: { exit: 2 },
  checkpoint_invalid: { exit: 2 },
  run_not_found: { exit: 2 },
  device_unavailable: { exit: 2 },
  // failures on the way (exit 1)
  run_locked: { exit: 1 },
  not_writable: { exit: 1 },
  disk_full: { exit: 1 },
  hub_failed: { exit: 1 },
  not_finite: { exit: 1 },
  engine_failed: { exit: 1 },
  mpi_failed: { exit: 1 },
  nccl_failed: { exit: 1 },
  out_of_memory: { exit: 1 },
  // between the editor and a machine
  connection_failed: { exit: 1 },
  connection_lost: { exit: 1 },
  timed_out: { exit: 1 },
  auth_failed: { exit: 1 },
  host_key_unknown: { exit: 1 },
  host_key_changed: { exit: 1 },
  host_key_revoked: { exit: 1 },
  ssh_config_invalid: { exit: 2 },
  transfer_failed: { exit: 1 },
  remote_failed: { exit: 1 },
  install_failed: { exit: 1 },
  platform_unsupported: { exit: 1 },
  // clouds
  cloud_credentials: { exit: 1 },
  cloud_permission: { exit: 1 },
  cloud_billing: { exit: 1 },
  cloud_quota: { exit: 1 },
  cloud_stockout: { exit: 1 },
  cloud_invalid: { exit: 2 },
  cloud_failed: { exit: 1 },
  vm_not_found: { exit: 2 },
  cancelled: { exit: 1 },
  internal: { exit: 1 },
} as const satisfies Record<string, { exit: 1 | 2 }>;

export type ErrorCode = keyof typeof ERROR_CODES;

/** Where the trouble is: a file and, where known, a 1-based line (and column). */
export interface ErrorPlace {
  file: string;
  line?: number;
  column?: number;
}

export interface ErrorOptions {
  place?: ErrorPlace;
  /** What a program may act on: the nearest known key, bytes missing, … Must be JSON. */
  data?: Record<string, unknown>;
  cause?: unknown;
}

export class TuneyardError extends Error {
  override readonly name = 'TuneyardError';
  readonly place: ErrorPlace | undefined;
  readonly data: Record<string, unknown>;

  /**
   * @param code which failure, from the catalogue
   * @param what one sentence: what happened and what to do; the place is put in front of it
   */
  constructor(
    readonly code: ErrorCode,
    readonly what: string,
    options: ErrorOptions = {},
  ) {
    super(options.place ? `${formatPlace(options.place)}: ${what}` : what, { cause: options.cause });
    this.place = options.place;
    this.data = options.data ?? {};
  }

  /** The runner's exit status for this failure. */
  get exitStatus(): 1 | 2 {
    return ERROR_CODES[this.code].exit;
  }

  toJSON(): { code: ErrorCode; message: string; place?: ErrorPlace; data: Record<string, unknown> } {
    return { code: this.code, message: this.message, ...(this.place ? { place: this.place } : {}), data: this.data };
  }
}

/** `file:line:column`, as terminals and editors make it a link. */
export function formatPlace(place: ErrorPlace): string {
  let text = place.file;
  if (place.line !== undefined) text += `:${place.line}`;
  if (place.line !== undefined && place.column !== undefined) text += `:${place.column}`;
  return text;
}
