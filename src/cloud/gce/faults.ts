/**
 * What Google answered in place of a result, whichever way it came: an HTTP error, an operation's own error, a refused
 * token, a lost connection. One form for all, so that one table can say what to do (`errors.ts`).
 */
import type { Operation } from './messages';

export interface Fault {
  /** HTTP status; absent where there was no answer. */
  http?: number;
  /** All of Google's words for it: `quotaExceeded`, `ZONE_RESOURCE_POOL_EXHAUSTED`, `SERVICE_DISABLED`. */
  reasons: string[];
  message: string;
  /** Facts that came with a reason: `service`, `zone`, `permission`. */
  facts: Record<string, string>;
  /** It came while a token was asked for. */
  token?: boolean;
  /** No answer: gone connection, time limit, cancelled. */
  lost?: 'connection' | 'timeout' | 'cancelled';
}

/** Where google-gax keeps the body of an error that it read. */
const RAW_BODY = Symbol.for('google-gax.rawHttpResponsePayload');
/** Numbers of gRPC, which the library uses over HTTP as well. */
const CANCELLED = 1;
const DEADLINE_EXCEEDED = 4;

export function faultOf(thrown: unknown): Fault {
  const error = record(thrown);
  const body = bodyOf(thrown);
  const google = record(body.error ?? first(body)?.error);
  const facts: Record<string, string> = {};
  const reasons = new Set<string>();
  const add = (reason: unknown, more: unknown) => {
    // They are logged: words alone, for anything might be echoed.
    if (typeof reason === 'string' && /^[A-Za-z_]{2,64}$/.test(reason)) reasons.add(reason);
    for (const [key, value] of Object.entries(record(more))) if (typeof value === 'string') facts[key] = value;
  };
  for (const entry of list(google.errors)) add(record(entry).reason, undefined);
  for (const detail of [...list(google.details), ...list(error.statusDetails)]) {
    add(record(detail).reason, record(detail).metadata);
  }
  add(error.reason, error.errorInfoMetadata);
  add(google.status, undefined);
  // The words of the token's endpoint: {error: 'invalid_grant', error_description}.
  if (typeof body.error === 'string') add(body.error, undefined);
  if (typeof body.error_subtype === 'string') add(body.error_subtype, undefined);
  const http = number(google.code) ?? number(error.httpStatusCode) ?? number(record(error.response).status);
  const lost = lostOf(error, http);
  return {
    reasons: [...reasons],
    message: String(google.message ?? body.error_description ?? error.message ?? thrown),
    facts,
    ...(http === undefined ? {} : { http }),
    ...(lost ? { lost } : {}),
  };
}

/** The error of an operation that is done; undefined where it went well. */
export function faultOfOperation(operation: Operation): Fault | undefined {
  const errors = operation.error?.errors ?? [];
  const http = operation.httpErrorStatusCode || undefined;
  if (errors.length === 0 && !http) return undefined;
  const reasons = new Set<string>();
  const facts: Record<string, string> = {};
  for (const { code, errorDetails } of errors) {
    if (code) reasons.add(code);
    for (const { errorInfo } of errorDetails ?? []) {
      if (errorInfo?.reason) reasons.add(errorInfo.reason);
      Object.assign(facts, errorInfo?.metadatas);
    }
  }
  const message = errors.find((error) => error.message)?.message ?? operation.httpErrorMessage ?? 'unknown error';
  return { reasons: [...reasons], message, facts, ...(http ? { http } : {}) };
}

/** Whether the same request may go well in a moment. */
export function isPassing({ http, reasons, lost }: Fault): boolean {
  if (lost) return lost !== 'cancelled';
  if (http === 429 || (http !== undefined && http >= 500 && http !== 501)) return true;
  return reasons.some((reason) => PASSING.has(reason));
}

/** Google's rate limits are 403, and a resource that is being changed is 400. */
const PASSING = new Set([
  'rateLimitExceeded',
  'userRateLimitExceeded',
  'RATE_LIMIT_EXCEEDED',
  'resourceNotReady',
  'RESOURCE_NOT_READY',
  'backendError',
  'internalError',
]);

function lostOf(error: Record<string, unknown>, http: number | undefined): Fault['lost'] {
  if (http !== undefined) return undefined;
  if (error.code === CANCELLED || error.name === 'AbortError') return 'cancelled';
  if (error.code === DEADLINE_EXCEEDED || error.name === 'TimeoutError') return 'timeout';
  return 'connection';
}

function bodyOf(thrown: unknown): Record<string, unknown> {
  const raw = (thrown as { [RAW_BODY]?: unknown } | null)?.[RAW_BODY] ?? record(record(thrown).response).data;
  if (Buffer.isBuffer(raw) || typeof raw === 'string') {
    try {
      return record(JSON.parse(raw.toString()));
    } catch {
      return {};
    }
  }
  return record(raw);
}

function first(body: Record<string, unknown>): Record<string, unknown> | undefined {
  return Array.isArray(body) ? record(body[0]) : undefined;
}

const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);
const number = (value: unknown): number | undefined => (typeof value === 'number' && value >= 100 ? value : undefined);
const record = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
