/** A VM as far as its watchdog sees one: metadata, guest attributes, a bucket, a home. The watchdog is the real program. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DELETE_AT_ITEM, WATCHDOG_ITEM, type WatchdogSettings } from '@protocol/watchdog';
import { vi } from 'vitest';
import { type MetadataServerStandIn, startMetadataServer } from './standIn/metadata';
import { StorageStandIn } from './standIn/storage';

const PROGRAM = fileURLToPath(new URL('../../remote-runner/bin/tuneyard.mjs', import.meta.url));

/** Minutes on the watchdog's clock pass in a tenth of a second. */
export const SPEED = 600;

export interface Started {
  process: ChildProcess;
  /** Its exit status. */
  exit: Promise<number | null>;
  log(): string;
}

export class WatchedVm {
  readonly guest: Record<string, string> = {};
  /** States that were told, one after the other. */
  readonly states: string[] = [];
  items: Record<string, string> = {};
  isPreempted = false;
  hasAccount = false;
  /** Of this account nothing is accepted. */
  isRefused = false;
  #running: Started[] = [];

  private constructor(
    /** `$HOME`. */
    readonly home: string,
    readonly metadata: MetadataServerStandIn,
    readonly storage: StorageStandIn,
    private readonly server: Server,
  ) {}

  static async make(storage?: StorageStandIn): Promise<WatchedVm> {
    let vm: WatchedVm;
    const bucket =
      storage ??
      new StorageStandIn({
        buckets: ['results'],
        refuse: (authorization) => (authorization !== 'Bearer vm-token' ? 401 : vm.isRefused ? 403 : undefined),
      });
    const server = createServer((request, response) => {
      bucket.handle(request, response).then(
        (isHandled) => isHandled || response.writeHead(404).end('{}'),
        () => request.socket.destroy(),
      );
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const metadata = await startMetadataServer({
      instance: () => ({ project: 'p', zone: 'us-central1-a', name: 'vm', id: vm.id }),
      attributes: () => vm.items,
      preempted: () => vm.isPreempted,
      maintenanceEvent: () => 'NONE',
      serviceAccount: () => (vm.hasAccount ? { email: 'vm@p.iam', scopes: ['cloud-platform'] } : undefined),
      token: () => ({ access_token: 'vm-token', expires_in: 3600 }),
      setGuestAttribute: (_, key, value) => {
        vm.guest[key] = value;
        if (key === 'state') vm.states.push(value);
        return true;
      },
    });
    vm = new WatchedVm(await mkdtemp(join(tmpdir(), 'tuneyard-vm-')), metadata, bucket, server);
    return vm;
  }

  id = '4711';

  /** `~/.tuneyard`. */
  get tuneyard(): string {
    return join(this.home, '.tuneyard');
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  order(settings: Partial<WatchdogSettings>, deleteAt?: Date): void {
    const whole: WatchdogSettings = {
      vm: 'vm',
      idle_minutes: 10,
      idle_action: 'delete',
      end_after_last_run: false,
      artifacts: { kind: 'fetch' },
      labels: {},
      spot: false,
      ...settings,
    };
    this.items = {
      ...this.items,
      [WATCHDOG_ITEM]: JSON.stringify(whole),
      ...(deleteAt && { [DELETE_AT_ITEM]: deleteAt.toISOString() }),
    };
    this.metadata.changed();
  }

  preempt(): void {
    this.isPreempted = true;
    this.metadata.changed();
  }

  environment(more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
    return {
      ...process.env,
      HOME: this.home,
      TUNEYARD_HOME: this.tuneyard,
      TUNEYARD_VM_HOME: this.home,
      TUNEYARD_WATCHDOG_SPEED: String(SPEED),
      TUNEYARD_GCE_ENDPOINT: this.endpoint,
      GCE_METADATA_HOST: this.metadata.host,
      HF_ENDPOINT: 'http://127.0.0.1:9',
      ...more,
    };
  }

  start(more: NodeJS.ProcessEnv = {}): Started {
    const child = spawn(process.execPath, [PROGRAM, 'watchdog'], { env: this.environment(more) });
    let text = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (piece) => {
        text += piece;
      });
    }
    const exit = once(child, 'exit').then(([code]) => code as number | null);
    const started = { process: child, exit, log: () => text };
    this.#running.push(started);
    return started;
  }

  /** Until it said so much. */
  async until(check: () => unknown): Promise<void> {
    await vi.waitFor(check, { timeout: 60_000, interval: 20 });
  }

  async dispose(): Promise<void> {
    for (const { process: child, exit } of this.#running) {
      child.kill('SIGKILL');
      await exit;
    }
    await this.metadata.close();
    this.server.close();
    this.server.closeAllConnections();
    await rm(this.home, { recursive: true, force: true, maxRetries: 5 });
  }
}
