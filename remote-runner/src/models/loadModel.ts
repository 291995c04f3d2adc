/** From a Hugging Face directory to an architecture and an arena full of weights. */
import { TuneyardError } from '@protocol/errors';
import { formatShape, sameShape } from '../graph/ir';
import { type ModelDir, openModelDir } from '../hub/modelDir';
import { mergeAdapter } from '../methods/mergeAdapter';
import type { PeftAdapter } from '../methods/peftAdapter';
import { readVirtualTokens } from '../methods/softPromptAdapter';
import type { Matrix } from '../methods/targets';
import type { QuantizedWeights } from '../quantization/quantizedWeights';
import { Arena, layoutArena, type ParameterSet } from '../train/arena';
import type { ArenaMemory } from '../train/arenaMemory';
import type { CausalLm } from './causalLm';
import { architectureOf } from './index';

export interface OpenModel {
  readonly source: ModelDir;
  /** As its files have it. */
  readonly bare: CausalLm;
  /** As it computes: with virtual tokens in front, where an adapter has some. */
  readonly model: CausalLm;
  /** The name in the file of each parameter. */
  readonly fileNames: ReadonlyMap<string, string>;
  /** What is to be added to the weights, where the model was named by an adapter. */
  readonly adapter?: PeftAdapter | undefined;
}

/**
 * Opens a model and checks that the file holds every parameter in its shape; reads no weights yet.
 * @throws TuneyardError `model_unsupported`, `model_invalid`, `weights_invalid` naming the tensor
 */
export async function openModel(dir: string): Promise<OpenModel> {
  const source = await openModelDir(dir);
  const architecture = architectureOf(source.config, source.configFile);
  const model = architecture.parse(source.config, source.configFile);
  const { weights } = source;
  const fileNames = new Map<string, string>();
  for (const { name, shape } of model.parameters) {
    const bare = name.startsWith(architecture.optionalPrefix) ? name.slice(architecture.optionalPrefix.length) : name;
    const found = [name, bare].find((candidate) => weights.has(candidate));
    if (!found) {
      throw new TuneyardError(
        'weights_invalid',
        `the weights lack the tensor ${name} that the configuration asks for.`,
        { place: { file: dir } },
      );
    }
    const info = weights.info(found);
    if (!sameShape(info.shape, shape)) {
      throw new TuneyardError(
        'weights_invalid',
        `the tensor ${found} has shape ${formatShape(info.shape)}, the configuration asks for ${formatShape(shape)}.`,
        { place: { file: info.file } },
      );
    }
    fileNames.set(name, found);
  }
  const used = new Set(fileNames.values());
  // A tied head may be stored a second time; it is the embedding.
  const unknown = weights
    .names()
    .filter((name) => !used.has(name) && name !== 'lm_head.weight' && !architecture.ignored.test(name));
  if (unknown.length > 0) {
    throw new TuneyardError(
      'model_unsupported',
      `the weights hold ${unknown.length} tensor${unknown.length > 1 ? 's' : ''} that a ${model.modelType} language model has no use for: ${unknown.slice(0, 3).join(', ')}${unknown.length > 3 ? ', …' : ''}.`,
      { place: { file: dir } },
    );
  }
  return { source, bare: model, model, fileNames };
}

/**
 * Reads every parameter as float32 into a fresh arena, with the adapter's, or the adapter merged into them.
 * @param memory where the arena is to lie, if there is room
 * @throws TuneyardError as {@link readParameters}
 */
export async function loadParameters(opened: OpenModel, signal?: AbortSignal, memory?: ArenaMemory): Promise<Arena> {
  const arena = new Arena(layoutArena(opened.model.parameters), memory);
  await readParameters(opened, arena, signal);
  const { adapter, model, bare } = opened;
  if (adapter && model.front) await readVirtualTokens(adapter, model, arena, signal);
  else if (adapter) await mergeAdapter(adapter, bare, arena, signal);
  return arena;
}

/**
 * Reads those parameters of a set that the model's files hold.
 * @throws TuneyardError `weights_invalid` naming a tensor with a value that is no finite number: nothing can be computed
 *   with it, and a NaN in a loss much later would not say where it came from
 */
export async function readParameters(
  { source, fileNames }: OpenModel,
  into: ParameterSet,
  signal?: AbortSignal,
): Promise<void> {
  for (const { name } of into.tensors) {
    const stored = fileNames.get(name);
    if (stored !== undefined) await readFinite(source, stored, into.slice(name), signal);
  }
}

/**
 * Reads matrices in full, one at a time, and keeps what few bits hold of them.
 * @throws TuneyardError as {@link readParameters}
 */
export async function readQuantized(
  { source, fileNames }: OpenModel,
  into: QuantizedWeights,
  signal?: AbortSignal,
): Promise<void> {
  // Rooms for all of them: what each had of its own would stay for a while.
  const { length, isTurned } = readingRoom(into.matrices);
  const room = new Float32Array(length);
  const turned = isTurned ? new Float32Array(length) : room;
  for (const matrix of into.matrices) {
    const size = matrix.inner * matrix.out;
    const stored = fileNames.get(`${matrix.name}.weight`)!;
    const weight = await readFinite(source, stored, room.subarray(0, size), signal);
    if (matrix.kind === 'conv1d') transpose(weight, matrix.out, turned);
    into.fill(matrix, matrix.kind === 'conv1d' ? turned.subarray(0, size) : weight);
  }
}

/** What {@link readQuantized} reads matrices into: the largest in full, and once more where they lie the other way round. */
export function readingRoom(matrices: readonly Matrix[]): { length: number; isTurned: boolean; bytes: number } {
  const length = Math.max(0, ...matrices.map(({ inner, out }) => inner * out));
  const isTurned = matrices.some(({ kind }) => kind === 'conv1d');
  return { length, isTurned, bytes: 4 * length * (isTurned ? 2 : 1) };
}

/** [rows, columns] → [columns, rows] */
function transpose(values: Float32Array, columns: number, into: Float32Array): void {
  const rows = values.length / columns;
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) into[j * rows + i] = values[i * columns + j]!;
}

async function readFinite(
  { weights }: ModelDir,
  stored: string,
  into: Float32Array,
  signal: AbortSignal | undefined,
): Promise<Float32Array> {
  const values = await weights.readFloat32(stored, into, signal);
  const broken = values.find((value) => !Number.isFinite(value));
  if (broken === undefined) return values;
  throw new TuneyardError(
    'weights_invalid',
    `the tensor ${stored} holds ${broken}, which is no weight to compute with; fetch the model again, or take an earlier checkpoint.`,
    { place: { file: weights.info(stored).file } },
  );
}
