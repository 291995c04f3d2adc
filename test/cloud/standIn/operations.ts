/** Long-running operations: accepted at once, done after a while, listable when what they were on is gone. */
import { randomBytes } from 'node:crypto';
import type { StandInClock } from './clock';
import type { OperationError } from './faults';

export interface Operation {
  kind: 'compute#operation';
  id: string;
  name: string;
  operationType: string;
  targetId: string;
  targetLink: string;
  status: 'PENDING' | 'RUNNING' | 'DONE';
  progress: number;
  insertTime: string;
  startTime?: string;
  endTime?: string;
  user: string;
  zone?: string;
  clientOperationId?: string;
  error?: { errors: OperationError[] };
  httpErrorStatusCode?: number;
  httpErrorMessage?: string;
}

export interface Begun {
  project: string;
  /** Undefined: a global one. */
  zone?: string;
  type: string;
  targetId: string;
  targetLink: string;
  user: string;
  requestId?: string;
  /** Milliseconds of the clock that it takes. */
  takes?: number;
  /** What it comes to; an error in place of an exception is the operation's own. */
  work(): Promise<OperationError | undefined> | OperationError | undefined;
}

/** The longest that Google keeps who waits waiting. */
const WAIT_MS = 120_000;

export class Operations {
  readonly #all = new Map<string, { project: string; operation: Operation; done: Promise<void> }>();
  /** For an hour and more, the same request ID gets the same operation. */
  readonly #byRequest = new Map<string, Operation>();
  #next = 5_000_000_000_000_000n;

  constructor(
    private readonly clock: StandInClock,
    private readonly link: (path: string) => string,
    private readonly takes: () => number,
  ) {}

  /** The operation that this request has begun already. */
  ofRequest(project: string, method: string, requestId: string | undefined): Operation | undefined {
    return requestId === undefined ? undefined : this.#byRequest.get(`${project} ${method} ${requestId}`);
  }

  begin(method: string, { project, zone, type, targetId, targetLink, user, requestId, takes, work }: Begun): Operation {
    const operation: Operation = {
      kind: 'compute#operation',
      id: String(this.#next++),
      name: `operation-${this.clock.now().toFixed(0)}-${randomBytes(6).toString('hex')}`,
      operationType: type,
      targetId,
      targetLink,
      status: 'PENDING',
      progress: 0,
      insertTime: this.#time(),
      user,
      ...(zone !== undefined && { zone: this.link(`projects/${project}/zones/${zone}`) }),
      ...(requestId !== undefined && { clientOperationId: requestId }),
    };
    if (requestId !== undefined) this.#byRequest.set(`${project} ${method} ${requestId}`, operation);
    const done = this.#carryOut(operation, takes ?? this.takes(), work);
    this.#all.set(`${project}/${zone ?? 'global'}/${operation.name}`, { project, operation, done });
    return { ...operation };
  }

  /** Something that Google has done by itself, at once. */
  note(project: string, zone: string, type: string, targetId: string, targetLink: string): void {
    const now = this.#time();
    const operation: Operation = {
      kind: 'compute#operation',
      id: String(this.#next++),
      name: `systemevent-${this.clock.now().toFixed(0)}-${randomBytes(6).toString('hex')}`,
      operationType: type,
      targetId,
      targetLink,
      status: 'DONE',
      progress: 100,
      insertTime: now,
      startTime: now,
      endTime: now,
      user: 'system',
      zone: this.link(`projects/${project}/zones/${zone}`),
    };
    this.#all.set(`${project}/${zone}/${operation.name}`, { project, operation, done: Promise.resolve() });
  }

  get(project: string, zone: string | undefined, name: string): Operation | undefined {
    return this.#all.get(`${project}/${zone ?? 'global'}/${name}`)?.operation;
  }

  list(project: string, zone: string): Operation[] {
    const prefix = `${project}/${zone}/`;
    return [...this.#all].filter(([key]) => key.startsWith(prefix)).map(([, { operation }]) => operation);
  }

  /** Returns when it is done, or after two minutes. */
  async wait(project: string, zone: string | undefined, name: string): Promise<Operation | undefined> {
    const found = this.#all.get(`${project}/${zone ?? 'global'}/${name}`);
    if (!found) return undefined;
    const limit = new AbortController();
    await Promise.race([found.done, this.clock.sleep(WAIT_MS, limit.signal).catch(() => {})]);
    limit.abort();
    return found.operation;
  }

  /** All that has begun is over. */
  async settled(): Promise<void> {
    await Promise.all([...this.#all.values()].map(({ done }) => done));
  }

  async #carryOut(operation: Operation, takes: number, work: Begun['work']): Promise<void> {
    await this.clock.sleep(takes / 4);
    operation.status = 'RUNNING';
    operation.startTime = this.#time();
    await this.clock.sleep((takes * 3) / 4);
    const error = await Promise.resolve(work()).catch((thrown: unknown) => ({
      code: 'INTERNAL_ERROR',
      message: thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown),
    }));
    if (error) {
      operation.error = { errors: [error] };
      operation.httpErrorStatusCode = error.code === 'QUOTA_EXCEEDED' ? 403 : 503;
      operation.httpErrorMessage = error.code === 'QUOTA_EXCEEDED' ? 'FORBIDDEN' : 'SERVICE UNAVAILABLE';
    }
    operation.progress = 100;
    operation.status = 'DONE';
    operation.endTime = this.#time();
  }

  #time(): string {
    return new Date(this.clock.now()).toISOString();
  }
}
