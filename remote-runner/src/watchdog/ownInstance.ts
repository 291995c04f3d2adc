/** What the VM does to itself in the cloud, as far as its service account lets it. */
import { randomUUID } from 'node:crypto';
import { TuneyardError } from '@protocol/errors';
import { type GoogleApi, succeeded } from './googleApi';
import type { Instance } from './metadataServer';

interface Operation {
  name: string;
  status: string;
  error?: { errors?: { code?: string; message?: string }[] };
}

export class OwnInstance {
  readonly #zone: string;

  constructor(
    private readonly api: GoogleApi,
    private readonly instance: Instance,
  ) {
    this.#zone = `${api.compute}/projects/${instance.project}/zones/${instance.zone}`;
  }

  /** Returns when Google has said that it will be done; what follows is this machine's end. */
  async delete(signal?: AbortSignal): Promise<void> {
    const operation = await this.api.json<Operation>(
      `${this.#zone}/instances/${this.instance.name}?requestId=${randomUUID()}`,
      { method: 'DELETE', signal },
    );
    await this.#done(operation, signal);
  }

  /**
   * A snapshot of the boot disk, whole and ready.
   * @returns its name
   */
  async snapshotBootDisk(name: string, labels: Record<string, string>, signal?: AbortSignal): Promise<string> {
    const { disks = [] } = await this.api.json<{ disks?: { boot?: boolean; source?: string }[] }>(
      `${this.#zone}/instances/${this.instance.name}`,
      { signal },
    );
    const source = disks.find(({ boot }) => boot)?.source;
    if (source === undefined) throw new TuneyardError('cloud_failed', 'the VM has no boot disk that Google knows.');
    const disk = source.slice(source.lastIndexOf('/') + 1);
    const answer = await this.api.request(`${this.#zone}/disks/${disk}/createSnapshot?requestId=${randomUUID()}`, {
      method: 'POST',
      body: JSON.stringify({ name, labels, description: `Results of ${this.instance.name}` }),
      signal,
    });
    // 409: an earlier attempt, whose answer was lost.
    if (answer.status !== 409) await this.#done(JSON.parse(succeeded(answer).text) as Operation, signal);
    for (;;) {
      const { status } = await this.api.json<{ status?: string }>(
        `${this.api.compute}/projects/${this.instance.project}/global/snapshots/${name}`,
        { signal },
      );
      if (status === 'READY') return name;
      if (status !== 'CREATING' && status !== 'UPLOADING') {
        throw new TuneyardError('cloud_failed', `the snapshot ${name} came to nothing (${status}).`);
      }
      await new Promise((resolve) => setTimeout(resolve, 2000));
    }
  }

  /** Reads the operation's own error: that it was taken on says nothing of how it went. */
  async #done(operation: Operation, signal?: AbortSignal): Promise<void> {
    let now = operation;
    while (now.status !== 'DONE') {
      now = await this.api.json<Operation>(`${this.#zone}/operations/${operation.name}/wait`, {
        method: 'POST',
        signal,
        stallMs: 150_000,
      });
    }
    const [error] = now.error?.errors ?? [];
    if (error) throw new TuneyardError('cloud_failed', `Google says: ${error.message ?? error.code ?? 'it failed'}`);
  }
}
