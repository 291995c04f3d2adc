// remote-runner/src/collectives/mpi.ts
import { createRequire } from 'node:module';

// src/protocol/errors.ts
var ERROR_CODES = {
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
};
var TuneyardError = class extends Error {
  /**
   * @param code which failure, from the catalogue
   * @param what one sentence: what happened and what to do; the place is put in front of it
   */
  constructor(code, what, options = {}) {
    super(options.place ? `${formatPlace(options.place)}: ${what}` : what, { cause: options.cause });
    this.code = code;
    this.what = what;
    this.place = options.place;
    this.data = options.data ?? {};
  }
  code;
  what;
  name = 'TuneyardError';
  place;
  data;
  /** The runner's exit status for this failure. */
  get exitStatus() {
    return ERROR_CODES[this.code].exit;
  }
  toJSON() {
    return { code: this.code, message: this.message, ...(this.place ? { place: this.place } : {}), data: this.data };
  }
};
function formatPlace(place) {
  let text = place.file;
  if (place.line !== void 0) text += `:${place.line}`;
  if (place.line !== void 0 && place.column !== void 0) text += `:${place.column}`;
  return text;
}

// remote-runner/src/collectives/mpi.ts
var LIBRARIES = {
  openmpi: ['libmpi.so.40', 'libmpi.so.80', 'libmpi.40.dylib'],
  mpich: ['libmpich.so.12', 'libmpi.so.12', 'libmpi.12.dylib'],
};
var THREAD_SERIALIZED = 2;
var MOST = 2 ** 26;
function mpiFamilyOf(env) {
  if (env.OMPI_COMM_WORLD_SIZE !== void 0 || env.PMIX_RANK !== void 0) return 'openmpi';
  return env.PMI_SIZE === void 0 ? void 0 : 'mpich';
}
function openMpi(family, env = process.env) {
  let koffi;
  try {
    koffi = createRequire(import.meta.url)('koffi');
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
var Mpi = class {
  rank;
  worldSize;
  localRank;
  localSize;
  #handles;
  #functions = /* @__PURE__ */ new Map();
  /** The call before: there is one at a time. */
  #before = Promise.resolve();
  constructor(koffi, family, env) {
    const library = load(koffi, family);
    const handle = family === 'openmpi' ? 'void*' : 'int';
    const declare = (name, ...parameters) => {
      this.#functions.set(name, library.func(`MPI_${name}`, 'int', parameters));
    };
    declare('Init_thread', 'void*', 'void*', 'int', 'void*');
    declare('Comm_rank', handle, 'void*');
    declare('Comm_size', handle, 'void*');
    declare('Allreduce', IN_PLACE, 'void*', 'int', handle, handle, handle);
    declare('Reduce', 'void*', 'void*', 'int', handle, handle, 'int', handle);
    const reduce = library.func('MPI_Reduce', 'int', [IN_PLACE, 'void*', 'int', handle, handle, 'int', handle]);
    this.#functions.set(REDUCE_HERE, reduce);
    declare('Bcast', 'void*', 'int', handle, 'int', handle);
    declare('Send', 'void*', 'int', handle, 'int', 'int', handle);
    declare('Recv', 'void*', 'int', handle, 'int', 'int', handle, 'void*');
    declare('Barrier', handle);
    declare('Finalize');
    if (family === 'openmpi') {
      const address = (name) => koffi.address(library.symbol(`ompi_mpi_${name}`));
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
        world: 1140850688,
        float: 1275069450,
        double: 1275070475,
        byte: 1275068685,
        sum: 1476395011,
        inPlace: -1,
      };
    }
    const out = new Int32Array(1);
    const ask = (name, ...args) => {
      requireSuccess(name, this.#functions.get(name)(...args, out));
      return out[0];
    };
    ask('Init_thread', null, null, THREAD_SERIALIZED);
    this.rank = ask('Comm_rank', this.#handles.world);
    this.worldSize = ask('Comm_size', this.#handles.world);
    const local = (...names) => Number(names.map((name) => env[name]).find((value) => value !== void 0));
    this.localRank = local('OMPI_COMM_WORLD_LOCAL_RANK', 'MPI_LOCALRANKID', 'SLURM_LOCALID') || 0;
    this.localSize = local('OMPI_COMM_WORLD_LOCAL_SIZE', 'MPI_LOCALNRANKS', 'SLURM_NTASKS_PER_NODE') || this.worldSize;
  }
  async sum(data) {
    const { inPlace, sum, world } = this.#handles;
    for (const piece of pieces(data)) {
      await this.#call('Allreduce', inPlace, piece, piece.length, this.#type(piece), sum, world);
    }
  }
  async sumParts(data, parts2) {
    const { inPlace, sum, world, float } = this.#handles;
    for (const [root, { from, to }] of parts2.entries()) {
      for (const piece of pieces(data.subarray(from, to))) {
        if (root === this.rank) await this.#call(REDUCE_HERE, inPlace, piece, piece.length, float, sum, root, world);
        else await this.#call('Reduce', piece, null, piece.length, float, sum, root, world);
      }
    }
  }
  async gatherParts(data, parts2) {
    const { world, float } = this.#handles;
    for (const [root, { from, to }] of parts2.entries()) {
      for (const piece of pieces(data.subarray(from, to))) {
        await this.#call('Bcast', piece, piece.length, float, root, world);
      }
    }
  }
  async collect(own2, parts2, whole2) {
    if (!whole2) return this.#pass('Send', own2, 0);
    for (const [rank, { from, to }] of parts2.entries()) {
      if (rank === this.rank) whole2.set(own2, from);
      else await this.#pass('Recv', whole2.subarray(from, to), rank);
    }
  }
  async spread(own2, parts2, whole2) {
    if (!whole2) return this.#pass('Recv', own2, 0);
    for (const [rank, { from, to }] of parts2.entries()) {
      if (rank === this.rank) own2.set(whole2.subarray(from, to));
      else await this.#pass('Send', whole2.subarray(from, to), rank);
    }
  }
  async broadcast(data) {
    for (const piece of pieces(data)) {
      await this.#call('Bcast', piece, piece.length, this.#type(piece), 0, this.#handles.world);
    }
  }
  barrier() {
    return this.#call('Barrier', this.#handles.world);
  }
  close() {
    return this.#call('Finalize');
  }
  async #pass(how, data, other) {
    const { world, float } = this.#handles;
    for (const piece of pieces(data)) {
      const status = how === 'Recv' ? [new Uint8Array(STATUS_BYTES)] : [];
      await this.#call(how, piece, piece.length, float, other, TAG, world, ...status);
    }
  }
  #type(data) {
    if (data instanceof Float32Array) return this.#handles.float;
    return data instanceof Float64Array ? this.#handles.double : this.#handles.byte;
  }
  #call(name, ...args) {
    const call = this.#before.then(
      () =>
        new Promise((resolve, reject) => {
          this.#functions.get(name).async(...args, (error, code) => {
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
};
var IN_PLACE = 'intptr_t';
var REDUCE_HERE = 'Reduce (here)';
var TAG = 1;
var STATUS_BYTES = 64;
function load(koffi, family) {
  let why = '';
  for (const name of LIBRARIES[family]) {
    try {
      return koffi.load(name, { global: family === 'openmpi' });
    } catch (error) {
      why ||= error instanceof Error ? error.message : String(error);
    }
  }
  throw new TuneyardError('mpi_failed', `${NAMES[family]} cannot be loaded (${why}).`);
}
var NAMES = { openmpi: 'Open MPI', mpich: 'MPICH' };
function requireSuccess(name, code) {
  if (code !== 0) throw new TuneyardError('mpi_failed', `MPI_${name} failed with ${code}.`);
}
function* pieces(data) {
  for (let at = 0; at < data.length; at += MOST) yield data.subarray(at, at + MOST);
}

// remote-runner/src/collectives/collective.ts
function partsOf(size, worldSize) {
  const each = Math.ceil(size / worldSize / FLOATS) * FLOATS;
  return Array.from({ length: worldSize }, (_, rank) => ({
    from: Math.min(rank * each, size),
    to: Math.min((rank + 1) * each, size),
  }));
}
var FLOATS = 16;

// bench/zz.ts
var c = openMpi(mpiFamilyOf(process.env));
var x = new Float32Array(100).map((_, i) => i + c.rank);
await c.sum(x);
var parts = partsOf(100, c.worldSize);
var y = new Float32Array(100).fill(c.rank + 1);
console.error('sum');
await c.sumParts(y, parts);
var own = y.slice(parts[c.rank].from, parts[c.rank].to);
console.error('parts');
await c.gatherParts(y, parts);
var whole = c.rank === 0 ? new Float32Array(100) : void 0;
console.error('gath');
await c.collect(own.fill(c.rank), parts, whole);
if (whole) whole.reverse();
console.error('coll');
await c.spread(own, parts, whole);
var b = new Uint8Array(3).fill(c.rank + 7);
await c.broadcast(b);
console.error(c.rank, c.worldSize, c.localRank, c.localSize, x.slice(0, 3), new Set(y), [...new Set(own)], b);
await c.barrier();
await c.close();
