/**
 * A stand-in for Google on loopback: Compute Engine's REST interface as far as the product uses it, its tokens, its VMs as
 * real sshd processes, a bucket and the IAP relay. What is sent is held against Google's own definitions; time is a
 * clock that tests move on; faults are injected where tests want them; and it writes a bill.
 */
import { once } from 'node:events';
import { mkdtemp } from 'node:fs/promises';
import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../../support/ssh/freePort';
import { StandInClock } from './clock';
import { type Call, METHODS, projectOf } from './compute';
import { faultOfBody, faultOfQuery, ROUTES, type Route } from './definitions';
import { GoogleError, info, invalid } from './faults';
import { IapStandIn } from './iap';
import type { Machine } from './machine';
import { StorageStandIn } from './storage';
import { type CredentialKind, Tokens } from './tokens';
import { type Project, World } from './world';

export interface StandInOptions {
  /** How fast the clock runs; default 1. */
  speed?: number;
  projects?: string[];
  buckets?: string[];
  /** Milliseconds of the clock; defaults 500, 300 and 1000. */
  operationMs?: number;
  bootMs?: number;
  driverMs?: number;
}

export interface SeenRequest {
  /** The clock's. */
  time: number;
  /** `instances.insert`, `token`, or method and path of what is neither. */
  name: string;
  method: string;
  path: string;
  query: Record<string, string>;
  body: unknown;
  status?: number;
}

/**
 * - `error429`, `error500`, `error503`: refused, nothing is done
 * - `drop-before`: the connection ends, nothing is done
 * - `drop-after`: it is done, and the answer is lost
 * - `duplicate`: it arrives twice
 * - `hang`: it is done, and no answer comes
 * - a number: the answer comes so many milliseconds of the wall's clock later
 */
export type FaultKind =
  | 'error429'
  | 'error500'
  | 'error503'
  | 'drop-before'
  | 'drop-after'
  | 'duplicate'
  | 'hang'
  | number;
export type FaultRule = (request: SeenRequest) => FaultKind | undefined;

export class GoogleStandIn implements AsyncDisposable {
  readonly requests: SeenRequest[] = [];
  readonly storage: StorageStandIn;
  readonly iap: IapStandIn;
  readonly #rules = new Set<FaultRule>();
  readonly #listeners = new Set<(request: SeenRequest) => unknown>();

  private constructor(
    /** `http://127.0.0.1:PORT`, for TUNEYARD_GCE_ENDPOINT. */
    readonly endpoint: string,
    readonly clock: StandInClock,
    readonly world: World,
    readonly tokens: Tokens,
    private readonly server: Server,
    buckets: string[],
  ) {
    const mayStore = (authorization: string | undefined) => (tokens.accountOf(authorization) ? undefined : 401);
    this.storage = new StorageStandIn({ buckets, refuse: mayStore });
    this.iap = new IapStandIn({
      target: ({ project, zone, instance, port }) => {
        const machine = world.machines.get(`${project}/${zone}/${instance}`);
        const isSsh = port === 22 || port === world.options.sshPort;
        return machine?.status === 'RUNNING' && isSsh
          ? { host: machine.address, port: world.options.sshPort }
          : undefined;
      },
      allows: (token) => tokens.accountOf(`Bearer ${token}`) !== undefined,
    });
  }

  static async start(options: StandInOptions = {}): Promise<GoogleStandIn> {
    const {
      speed = 1,
      projects = ['tune-project'],
      buckets = ['results'],
      operationMs = 500,
      bootMs = 300,
      driverMs = 1000,
    } = options;
    const clock = new StandInClock(speed);
    const tokens = new Tokens(clock);
    let standIn: GoogleStandIn;
    const server = createHttpServer((request, response) => void standIn.#serve(request, response));
    server.on('upgrade', (request, socket, head) => {
      if (!standIn.iap.upgrade(request, socket, head)) socket.destroy();
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const world = new World({
      dir: await mkdtemp(join(tmpdir(), 'tuneyard-google-')),
      clock,
      endpoint: () => endpoint,
      sshPort: await freePort(),
      operationMs,
      bootMs,
      driverMs,
      newToken: (account) => tokens.newToken(account),
    });
    for (const project of projects) world.addProject(project);
    standIn = new GoogleStandIn(endpoint, clock, world, tokens, server, buckets);
    return standIn;
  }

  get tokenUri(): string {
    return `${this.endpoint}/token`;
  }

  /** All VMs listen on it, each on its own address. */
  get sshPort(): number {
    return this.world.options.sshPort;
  }

  /** For GOOGLE_APPLICATION_CREDENTIALS. */
  credentialsFile(
    kind: CredentialKind = 'authorized_user',
    project = [...this.world.projects.keys()][0]!,
  ): Promise<string> {
    return this.tokens.credentialsFile(kind, this.world.options.dir, project, this.tokenUri);
  }

  project(id = [...this.world.projects.keys()][0]!): Project {
    return projectOf(this.world, id);
  }

  /** Those that are there, whatever their state. */
  instances(project?: string): Machine[] {
    return [...this.world.machines.values()].filter(
      ({ options }) => project === undefined || options.project === project,
    );
  }

  instance(name: string): Machine {
    const found = this.world.history.findLast(({ options }) => options.name === name);
    if (!found) throw new Error(`there was never an instance ${name}`);
    return found;
  }

  /** How many VMs of a type a zone still has. */
  stock(zone: string, machineType: string, left: number): void {
    this.world.stock.set(`${zone} ${machineType}`, left);
  }

  /** A project's limit, or that of one of its regions. */
  quota(metric: string, limit: number, region?: string, project?: string): void {
    const { quotas, regionQuotas } = this.project(project);
    (region === undefined ? quotas : regionQuotas.get(region)!).set(metric, limit);
  }

  preempt(name: string): Promise<void> {
    return this.world.preempt(this.instance(name));
  }

  /** Millionths of a US dollar that it has cost so far, its disk and address with it. */
  bill(name: string): number {
    return this.instance(name).bill();
  }

  /** Of everything that there ever was. */
  totalBill(): number {
    return this.world.history.reduce((sum, machine) => sum + machine.bill(), 0);
  }

  /** Asked at every request; the first that says something counts. Returns what takes it away. */
  fault(rule: FaultRule): () => void {
    this.#rules.add(rule);
    return () => this.#rules.delete(rule);
  }

  /** The next so many requests of that name. */
  faultNext(name: string, kind: FaultKind, times = 1): () => void {
    let left = times;
    return this.fault((request) => (request.name === name && left-- > 0 ? kind : undefined));
  }

  /** Told before a request is handled, and waited for. */
  onRequest(listener: (request: SeenRequest) => unknown): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    await this.world.close();
    this.server.closeAllConnections();
    this.server.close();
    this.clock.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', this.endpoint);
    if (/^\/(upload\/)?storage\//.test(url.pathname)) {
      this.storage.handle(request, response).catch(() => request.socket.destroy());
      return;
    }
    const text = await bodyOf(request).catch(() => undefined);
    if (text === undefined) return;
    const route = ROUTES.find(({ verb, pattern }) => verb === request.method && pattern.test(url.pathname));
    const seen: SeenRequest = {
      time: this.clock.now(),
      name: url.pathname === '/token' ? 'token' : (route?.name ?? `${request.method} ${url.pathname}`),
      method: request.method ?? '',
      path: url.pathname,
      query: Object.fromEntries(url.searchParams),
      body: text === '' || url.pathname === '/token' ? undefined : parsed(text),
    };
    this.requests.push(seen);
    for (const listener of this.#listeners) await listener(seen);
    let kind: FaultKind | undefined;
    for (const rule of this.#rules) kind ??= rule(seen);

    if (kind === 'drop-before') return void request.socket.destroy();
    const refusal = refusalOf(kind);
    const handle = () =>
      refusal ??
      (seen.name === 'token'
        ? this.tokens.answer(new URLSearchParams(text))
        : this.#answer(route, url, request, seen, text));
    let answer = await handle();
    if (kind === 'duplicate') answer = await handle();
    seen.status = answer.status;
    if (kind === 'drop-after') return void request.socket.destroy();
    if (kind === 'hang') return;
    if (typeof kind === 'number') await new Promise((resolve) => setTimeout(resolve, kind as number));
    response.writeHead(answer.status, { 'content-type': 'application/json; charset=UTF-8' });
    response.end(JSON.stringify(answer.body));
  }

  async #answer(
    route: Route | undefined,
    url: URL,
    request: IncomingMessage,
    seen: SeenRequest,
    text: string,
  ): Promise<{ status: number; body: unknown }> {
    try {
      const user = this.tokens.accountOf(request.headers.authorization);
      if (user === undefined)
        throw new GoogleError(
          401,
          'authError',
          'Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential.',
        );
      if (text !== '' && seen.body === undefined) throw invalid('Invalid JSON payload received.');
      const login = await this.world.osLogin.answer(
        {
          method: seen.method,
          path: url.pathname,
          query: url.searchParams,
          body: seen.body,
          quotaProject: request.headers['x-goog-user-project'] as string | undefined,
        },
        user,
      );
      if (login !== undefined) return { status: 200, body: login };
      if (!route) throw new GoogleError(404, 'notFound', `There is nothing at ${request.method} ${url.pathname}`);
      const values = route.pattern.exec(url.pathname)!.slice(1).map(decodeURIComponent);
      const path = Object.fromEntries(route.parameters.map((name, i) => [name, values[i]!]));
      this.#admit(route, path.project!, user);
      const fault =
        faultOfQuery(route, url.searchParams) ?? faultOfBody(route, route.body ? (seen.body ?? {}) : seen.body);
      if (fault) throw invalid(fault);
      const call: Call = { name: route.name, path, query: url.searchParams, body: seen.body ?? {}, user };
      const method = METHODS[route.name];
      if (!method) throw new GoogleError(501, 'notImplemented', `${route.name} is not stood in for.`);
      return { status: 200, body: await method(this.world, call) };
    } catch (error) {
      if (error instanceof GoogleError) return { status: error.code, body: error.body() };
      const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
      process.stderr.write(`stand-in: ${message}\n`);
      return { status: 500, body: new GoogleError(500, 'backendError', message).body() };
    }
  }

  /** Whether this may be done in the project at all. */
  #admit(route: Route, id: string, user: string): void {
    // Images are anybody's.
    if (route.name === 'images.getFromFamily') return;
    const project = projectOf(this.world, id);
    if (!project.hasApi) {
      throw new GoogleError(
        403,
        'accessNotConfigured',
        `Compute Engine API has not been used in project ${project.number} before or it is disabled. Enable it by visiting https://console.developers.google.com/apis/api/compute.googleapis.com/overview?project=${project.number} then retry.`,
        [
          info('SERVICE_DISABLED', 'googleapis.com', {
            service: 'compute.googleapis.com',
            consumer: `projects/${project.number}`,
          }),
        ],
      );
    }
    const [collection = '', verb = ''] = route.name.split('.');
    const action: Record<string, string> = { insert: 'create', aggregatedList: 'list' };
    const permission = `compute.${collection}.${action[verb] ?? verb}`;
    if (project.lacks.has(permission) || project.lacks.has(user)) {
      throw new GoogleError(403, 'forbidden', `Required '${permission}' permission for 'projects/${id}'`);
    }
    if (!project.hasBilling && route.verb !== 'GET') {
      throw new GoogleError(
        403,
        'billingNotEnabled',
        `This API method requires billing to be enabled. Please enable billing on project #${project.number} by visiting https://console.developers.google.com/billing/enable?project=${project.number} then retry.`,
        [
          info('BILLING_DISABLED', 'googleapis.com', {
            service: 'compute.googleapis.com',
            consumer: `projects/${project.number}`,
          }),
        ],
      );
    }
  }
}

function refusalOf(kind: FaultKind | undefined): { status: number; body: unknown } | undefined {
  const refuse = (error: GoogleError) => ({ status: error.code, body: error.body() });
  if (kind === 'error429') return refuse(new GoogleError(429, 'rateLimitExceeded', 'Rate Limit Exceeded'));
  if (kind === 'error500')
    return refuse(new GoogleError(500, 'backendError', 'Internal error. Please try again or contact Google Support.'));
  if (kind === 'error503')
    return refuse(new GoogleError(503, 'backendError', 'Service unavailable. Please try again.'));
  return undefined;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece as Buffer);
  return Buffer.concat(pieces).toString();
}
