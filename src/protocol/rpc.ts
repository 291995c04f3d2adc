/**
 * JSON-RPC 2.0 with types: one {@link Peer} at each end of a wire, the same class with its type arguments swapped.
 * The wire is a `MessageConnection` of vscode-jsonrpc (streams between the extension and the runner, messages between
 * the extension and a panel). Every request is answered; a failure arrives as the {@link TuneyardError} it was; a
 * closed wire rejects all that is pending with `connection_lost`.
 */
import {
  type CancellationToken,
  CancellationTokenSource,
  ConnectionErrors,
  type Disposable,
  ErrorCodes,
  type MessageConnection,
  ResponseError,
} from 'vscode-jsonrpc';
import { ERROR_CODES, type ErrorCode, type ErrorPlace, TuneyardError } from './errors';

/** What one end answers and hears. Parameters and results must be JSON. */
export interface Contract {
  requests: { [method: string]: { params: unknown; result: unknown } };
  notifications: { [method: string]: unknown };
}

type Requests<C extends Contract> = C['requests'];
type Notifications<C extends Contract> = C['notifications'];

/** This end answers `Mine` and calls `Theirs`. */
export class Peer<Mine extends Contract, Theirs extends Contract> {
  constructor(private readonly connection: MessageConnection) {
    // On its own, a closed wire leaves callers waiting.
    connection.onClose(() => connection.dispose());
  }

  /** Begins to read. Handlers registered later miss what came before. */
  listen(): void {
    this.connection.listen();
  }

  /**
   * @param signal aborted: the other end is told to stop, and the request settles at once with `cancelled`
   * @throws TuneyardError what the other end threw; `cancelled`; `connection_lost`
   */
  async request<M extends keyof Requests<Theirs> & string>(
    method: M,
    params: Requests<Theirs>[M]['params'],
    signal?: AbortSignal,
  ): Promise<Requests<Theirs>[M]['result']> {
    if (signal?.aborted) throw cancelled();
    const source = new CancellationTokenSource();
    let abort = () => {};
    try {
      const aborted = new Promise<never>((_, reject) => {
        abort = () => {
          source.cancel();
          reject(cancelled());
        };
        signal?.addEventListener('abort', abort, { once: true });
      });
      const answer = this.connection.sendRequest<Requests<Theirs>[M]['result']>(method, params, source.token);
      // Whichever loses must not go unhandled.
      answer.catch(() => {});
      return await (signal ? Promise.race([answer, aborted]) : answer);
    } catch (error) {
      throw fromWire(error);
    } finally {
      signal?.removeEventListener('abort', abort);
      source.dispose();
    }
  }

  /**
   * Tells the other end something. A wire that is closed takes it and drops it.
   * @returns when the wire has taken it: who has much to tell waits for that, and leaves room for others in between
   */
  async notify<M extends keyof Notifications<Theirs> & string>(
    method: M,
    params: Notifications<Theirs>[M],
  ): Promise<void> {
    try {
      await this.connection.sendNotification(method, params);
    } catch {
      // Closed: whoever cares listens to `onClose`.
    }
  }

  /** Answers a method. The signal is aborted when the caller cancels. */
  handle<M extends keyof Requests<Mine> & string>(
    method: M,
    handler: (
      params: Requests<Mine>[M]['params'],
      signal: AbortSignal,
    ) => Requests<Mine>[M]['result'] | Promise<Requests<Mine>[M]['result']>,
  ): Disposable {
    return this.connection.onRequest(method, async (params: Requests<Mine>[M]['params'], token: CancellationToken) => {
      const controller = new AbortController();
      if (token.isCancellationRequested) controller.abort();
      token.onCancellationRequested(() => controller.abort());
      try {
        const result: unknown = await handler(params, controller.signal);
        return result ?? null;
      } catch (error) {
        throw toWire(error);
      }
    });
  }

  on<M extends keyof Notifications<Mine> & string>(
    method: M,
    listener: (params: Notifications<Mine>[M]) => void,
  ): Disposable {
    return this.connection.onNotification(method, listener);
  }

  onClose(listener: () => void): Disposable {
    return this.connection.onClose(listener);
  }

  /** Ends the connection; what is pending is rejected with `connection_lost`. */
  dispose(): void {
    this.connection.dispose();
  }
}

function cancelled(): TuneyardError {
  return new TuneyardError('cancelled', 'cancelled.');
}

interface WireError {
  code: ErrorCode;
  /** Without its place, which is put in front again at the other end. */
  what: string;
  place?: ErrorPlace;
  data: Record<string, unknown>;
}

const SERVER_ERROR = -32000;

function toWire(error: unknown): ResponseError<WireError> {
  const known =
    error instanceof TuneyardError
      ? error
      : new TuneyardError('internal', error instanceof Error ? error.message : String(error));
  const { code, what, place, data } = known;
  return new ResponseError(SERVER_ERROR, known.message, { code, what, ...(place && { place }), data });
}

function fromWire(error: unknown): TuneyardError {
  if (error instanceof TuneyardError) return error;
  if (error instanceof ResponseError) {
    const { data } = error as ResponseError<Partial<WireError> | undefined>;
    if (data?.code !== undefined && data.code in ERROR_CODES) {
      return new TuneyardError(data.code, data.what ?? error.message, {
        ...(data.place && { place: data.place }),
        ...(data.data && { data: data.data }),
        cause: error,
      });
    }
    // What could not be written found the wire broken before its end was seen.
    if (error.code === ErrorCodes.PendingResponseRejected || error.code === ErrorCodes.MessageWriteError) {
      return lost(error);
    }
  }
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
  if (code === ConnectionErrors.Closed || code === ConnectionErrors.Disposed) return lost(error);
  return new TuneyardError('internal', error instanceof Error ? error.message : String(error), { cause: error });
}

function lost(cause: unknown): TuneyardError {
  return new TuneyardError('connection_lost', 'the connection was lost.', { cause });
}
