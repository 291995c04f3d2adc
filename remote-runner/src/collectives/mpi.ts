/**
 * MPI (MPI-3.1) through koffi: Open MPI and those of MPICH's family, whose handles differ. Calls block a thread of
 * libuv's pool, one at a time. What fails ends the process, as is MPI's way: mpirun then ends the other ranks.
 */
import { TuneyardError } from '@protocol/errors';
import { type Koffi, loadKoffi } from '../engine/loadKoffi';
import type { Collective, Part } from './collective';

export const MPI_FAMILIES = ['openmpi', 'mpich'] as const;
export type MpiFamily = (typeof MPI_FAMILIES)[number];

const LIBRARIES: Readonly<Record<MpiFamily, readonly string[]>> = {
  openmpi: ['libmpi.so.40', 'libmpi.so.80', 'libmpi.40.dylib'],
  mpich: ['libmpich.so.12', 'libmpi.so.12', 'libmpi.12.dylib'],
};

const THREAD_SERIALIZED = 2;

/** Elements a call: counts are of 32 bits, and a call should not last for minutes. */
const MOST = 2 ** 26;
const MOST_REDUCED = 2 ** 23;

type Native = ReturnType<Koffi['decode']> & { async(...args: unknown[]): void };
/** Open MPI's are addresses, MPICH's numbers. */
type MpiHandle = bigint | number;
type Data = Float32Array | Float64Array | Uint8Array;

interface Handles {
  readonly world: MpiHandle;
  readonly float: MpiHandle;
  readonly double: MpiHandle;
  readonly byte: MpiHandle;
  readonly sum: MpiHandle;
  readonly inPlace: number;
}

/** Joins the ranks that mpirun has started. @throws TuneyardError `mpi_failed` where the library cannot be used */
export function openMpi(family: MpiFamily, env: NodeJS.ProcessEnv = process.env): Collective {
  let koffi: Koffi;
  try {
    koffi = loadKoffi();
  } catch (cause) {
    throw new TuneyardError(
      'mpi_failed',
      'several ranks need koffi, which is not installed; install the packages again.',
      {
        cause,
      },
    );
  }
  return new Mpi(koffi, family, env);
}

class Mpi implements Collective {
  readonly rank: number;
  readonly worldSize: number;
  readonly localRank: number;
  readonly localSize: number;
  readonly #handles: Handles;
  readonly #functions = new Map<string, Native>();
  /** For sums that do not land where they are wanted. */
  #sums = new Float32Array(0);
  /** The call before: there is one at a time. */
  #before: Promise<unknown> = Promise.resolve();

  constructor(koffi: Koffi, family: MpiFamily, env: NodeJS.ProcessEnv) {
    const library = load(koffi, family);
    const handle = family === 'openmpi' ? 'void*' : 'int';
    const declare = (name: string, ...parameters: string[]) => {
      this.#functions.set(name, library.func(`MPI_${name}`, 'int', parameters) as unknown as Native);
    };
    declare('Init_thread', 'void*', 'void*', 'int', 'void*');
    declare('Comm_rank', handle, 'void*');
    declare('Comm_size', handle, 'void*');
    declare('Allreduce', IN_PLACE, 'void*', 'int', handle, handle, handle);
    declare('Reduce', 'void*', 'void*', 'int', handle, handle, 'int', handle);
    declare('Bcast', 'void*', 'int', handle, 'int', handle);
    declare('Send', 'void*', 'int', handle, 'int', 'int', handle);
    declare('Recv', 'void*', 'int', handle, 'int', 'int', handle, 'void*');
    declare('Barrier', handle);
    declare('Finalize');
    if (family === 'openmpi') {
      const address = (name: string): bigint => koffi.address(library.symbol(`ompi_mpi_${name}`));
      this.#handles = {
        world: address('comm_world'),
        float: address('float'),
        double: address('double'),
        byte: address('byte'),
        sum: address('op_sum'),
        inPlace: 1,
      };
    } else {
      this.#handles = {
        world: 0x44000000,
        float: 0x4c00040a,
        double: 0x4c00080b,
        byte: 0x4c00010d,
        sum: 0x58000003,
        inPlace: -1,
      };
    }
    const out = new Int32Array(1);
    const ask = (name: string, ...args: unknown[]): number => {
      requireSuccess(name, this.#functions.get(name)!(...args, out));
      return out[0]!;
    };
    ask('Init_thread', null, null, THREAD_SERIALIZED);
    this.rank = ask('Comm_rank', this.#handles.world);
    this.worldSize = ask('Comm_size', this.#handles.world);
    const local = (...names: string[]) => Number(names.map((name) => env[name]).find((value) => value !== undefined));
    this.localRank = local('OMPI_COMM_WORLD_LOCAL_RANK', 'MPI_LOCALRANKID', 'SLURM_LOCALID') || 0;
    this.localSize = local('OMPI_COMM_WORLD_LOCAL_SIZE', 'MPI_LOCALNRANKS', 'SLURM_NTASKS_PER_NODE') || this.worldSize;
  }

  async sum(data: Float32Array | Float64Array): Promise<void> {
    const { inPlace, sum, world } = this.#handles;
    for (const piece of pieces(data)) {
      await this.#call('Allreduce', inPlace, piece, piece.length, this.#type(piece), sum, world);
    }
  }

  async sumParts(data: Float32Array, parts: readonly Part[]): Promise<void> {
    const { sum, world, float } = this.#handles;
    for (const [root, { from, to }] of parts.entries()) {
      for (const piece of pieces(data.subarray(from, to), MOST_REDUCED)) {
        // Not in place: MPICH 4.0 then reads at that number where the root is not rank 0.
        const sums = root === this.rank ? this.#scratch(piece.length) : null;
        await this.#call('Reduce', piece, sums, piece.length, float, sum, root, world);
        if (sums) piece.set(sums);
      }
    }
  }

  async gatherParts(data: Float32Array, parts: readonly Part[]): Promise<void> {
    const { world, float } = this.#handles;
    for (const [root, { from, to }] of parts.entries()) {
      for (const piece of pieces(data.subarray(from, to))) {
        await this.#call('Bcast', piece, piece.length, float, root, world);
      }
    }
  }

  async collect(own: Float32Array, parts: readonly Part[], whole: Float32Array | undefined): Promise<void> {
    if (!whole) return this.#pass('Send', own, 0);
    for (const [rank, { from, to }] of parts.entries()) {
      if (rank === this.rank) whole.set(own, from);
      else await this.#pass('Recv', whole.subarray(from, to), rank);
    }
  }

  async spread(own: Float32Array, parts: readonly Part[], whole: Float32Array | undefined): Promise<void> {
    if (!whole) return this.#pass('Recv', own, 0);
    for (const [rank, { from, to }] of parts.entries()) {
      if (rank === this.rank) own.set(whole.subarray(from, to));
      else await this.#pass('Send', whole.subarray(from, to), rank);
    }
  }

  async broadcast(data: Float32Array | Uint8Array): Promise<void> {
    for (const piece of pieces(data)) {
      await this.#call('Bcast', piece, piece.length, this.#type(piece), 0, this.#handles.world);
    }
  }

  barrier(): Promise<void> {
    return this.#call('Barrier', this.#handles.world);
  }

  close(): Promise<void> {
    return this.#call('Finalize');
  }

  async #pass(how: 'Send' | 'Recv', data: Float32Array, other: number): Promise<void> {
    const { world, float } = this.#handles;
    for (const piece of pieces(data)) {
      const status = how === 'Recv' ? [new Uint8Array(STATUS_BYTES)] : [];
      await this.#call(how, piece, piece.length, float, other, TAG, world, ...status);
    }
  }

  #scratch(length: number): Float32Array {
    if (this.#sums.length < length) this.#sums = new Float32Array(length);
    return this.#sums.subarray(0, length);
  }

  #type(data: Data): MpiHandle {
    if (data instanceof Float32Array) return this.#handles.float;
    return data instanceof Float64Array ? this.#handles.double : this.#handles.byte;
  }

  #call(name: string, ...args: unknown[]): Promise<void> {
    const call = this.#before.then(
      () =>
        new Promise<void>((resolve, reject) => {
          this.#functions.get(name)!.async(...args, (error: unknown, code: number) => {
            if (error) return reject(error);
            try {
              requireSuccess(name, code);
              resolve();
            } catch (failure) {
              reject(failure);
            }
          });
        }),
    );
    this.#before = call.catch(() => {});
    return call;
  }
}

/** MPI_IN_PLACE is no address, but a number in place of one. */
const IN_PLACE = 'intptr_t';
const TAG = 1;
/** More than either family's status takes. */
const STATUS_BYTES = 64;

function load(koffi: Koffi, family: MpiFamily): ReturnType<Koffi['load']> {
  let why = '';
  for (const name of LIBRARIES[family]) {
    try {
      // Open MPI's parts find each other's symbols only where they are everybody's.
      return koffi.load(name, { global: family === 'openmpi' });
    } catch (error) {
      why ||= error instanceof Error ? error.message : String(error);
    }
  }
  throw new TuneyardError('mpi_failed', `${NAMES[family]} cannot be loaded (${why}).`);
}

const NAMES: Readonly<Record<MpiFamily, string>> = { openmpi: 'Open MPI', mpich: 'MPICH' };

function requireSuccess(name: string, code: number): void {
  if (code !== 0) throw new TuneyardError('mpi_failed', `MPI_${name} failed with ${code}.`);
}

function* pieces<T extends Data>(data: T, most = MOST): Generator<T> {
  for (let at = 0; at < data.length; at += most) yield data.subarray(at, at + most) as T;
}
