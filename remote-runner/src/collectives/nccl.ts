/**
 * NCCL (2.x) through koffi: what lies in the memory of GPUs is added up and handed round without crossing the host's. MPI
 * starts it: rank 0's identifier goes to all, and everything else that ranks say to each other stays with MPI.
 */
import { TuneyardError } from '@protocol/errors';
import type { DeviceMemory } from '../engine/deviceMemory';
import { type Koffi, loadKoffi } from '../engine/loadKoffi';
import type { ArenaExchange, Collective, Part } from './collective';

/** A library in another place, or under another name. */
const VARIABLE = 'TUNEYARD_NCCL';
const LIBRARY = 'libnccl.so.2';

/** NCCL_UNIQUE_ID_BYTES. */
const ID_BYTES = 128;
/** ncclFloat32, ncclSum. */
const FLOAT = 7;
const SUM = 0;

type Operation = 'AllReduce' | 'Reduce' | 'Broadcast';

export class Nccl implements ArenaExchange {
  private constructor(
    private readonly memory: DeviceMemory,
    private readonly library: NcclLibrary,
    private readonly comm: bigint,
  ) {}

  /** Every rank calls it, with the memory of its own GPU. @throws TuneyardError `nccl_failed` */
  static async open(library: NcclLibrary, collective: Collective, memory: DeviceMemory): Promise<Nccl> {
    const id = new Uint8Array(ID_BYTES);
    if (collective.rank === 0) library.call('GetUniqueId', id);
    await collective.broadcast(id);
    memory.raw.use();
    return new Nccl(memory, library, library.join(collective.worldSize, id, collective.rank));
  }

  async sum(data: Float32Array | Float64Array): Promise<void> {
    const address = this.#addressOf(data);
    await this.#run([['AllReduce', address, address, data.length, FLOAT, SUM]]);
  }

  async sumParts(data: Float32Array, parts: readonly Part[]): Promise<void> {
    await this.#run(
      parts.flatMap(({ from, to }, root) => {
        if (from === to) return [];
        const address = this.#addressOf(data.subarray(from, to));
        return [['Reduce', address, address, to - from, FLOAT, SUM, root] as const];
      }),
    );
  }

  async gatherParts(data: Float32Array, parts: readonly Part[]): Promise<void> {
    await this.#run(
      parts.flatMap(({ from, to }, root) => {
        if (from === to) return [];
        const address = this.#addressOf(data.subarray(from, to));
        return [['Broadcast', address, address, to - from, FLOAT, root] as const];
      }),
    );
  }

  #addressOf(data: Float32Array | Float64Array): bigint {
    const address = this.memory.addressOf(data);
    if (address === undefined || !(data instanceof Float32Array)) {
      throw new TuneyardError('internal', 'NCCL is given floats of the device’s memory alone.');
    }
    return address;
  }

  /** Calls that may go on together, to their end. */
  async #run(calls: readonly (readonly [Operation, ...unknown[]])[]): Promise<void> {
    const { raw } = this.memory;
    raw.use();
    this.library.call('GroupStart');
    for (const [name, ...args] of calls) this.library.call(name, ...args, this.comm, raw.stream);
    this.library.call('GroupEnd');
    await raw.finish();
  }
}

export interface NcclLibrary {
  /** @throws TuneyardError `nccl_failed` */
  call(name: Operation | 'GetUniqueId' | 'GroupStart' | 'GroupEnd', ...args: unknown[]): void;
  /** Waits for all ranks, on the thread that has chosen the GPU. @returns the communicator */
  join(ranks: number, id: Uint8Array, rank: number): bigint;
}

/** @throws Error where there is none; the message says which was looked for */
export function loadNccl(env: NodeJS.ProcessEnv = process.env): NcclLibrary {
  const koffi = loadKoffi();
  const file = env[VARIABLE] ?? LIBRARY;
  let library: ReturnType<Koffi['load']>;
  try {
    library = koffi.load(file);
  } catch (error) {
    throw new Error(`${file} cannot be loaded (${error instanceof Error ? error.message : error})`);
  }
  const bind = (name: string, ...parameters: (string | ReturnType<Koffi['struct']>)[]) =>
    library.func(`nccl${name}`, 'int', parameters) as unknown as (...args: unknown[]) => number;
  // By value: 128 bytes.
  const idType = koffi.struct({ internal: koffi.array('uint8_t', ID_BYTES) });
  const commInitRank = bind('CommInitRank', 'void*', 'int', idType, 'int');
  const errorText = library.func('ncclGetErrorString', 'const char*', ['int']);
  const functions = {
    GetUniqueId: bind('GetUniqueId', 'void*'),
    AllReduce: bind('AllReduce', 'void*', 'void*', 'size_t', 'int', 'int', 'void*', 'void*'),
    Reduce: bind('Reduce', 'void*', 'void*', 'size_t', 'int', 'int', 'int', 'void*', 'void*'),
    Broadcast: bind('Broadcast', 'void*', 'void*', 'size_t', 'int', 'int', 'void*', 'void*'),
    GroupStart: bind('GroupStart'),
    GroupEnd: bind('GroupEnd'),
  };
  const check = (name: string, code: number) => {
    if (code !== 0) throw new TuneyardError('nccl_failed', `nccl${name} failed: ${errorText(code)}.`);
  };
  return {
    call: (name, ...args) => check(name, functions[name](...args)),
    join: (ranks, id, rank) => {
      const comm = new BigUint64Array(1);
      check('CommInitRank', commInitRank(comm, ranks, { internal: [...id] }, rank));
      return comm[0]!;
    },
  };
}
