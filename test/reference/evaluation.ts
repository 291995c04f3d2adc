/** What the runner makes of a reference model: logits, loss and gradients, for the tests and for `bench parity`. */
import { type Recipe, recipeSchema } from '@protocol/recipe';
import { type Batch, collate } from '@runner/data/collate';
import { type TensorView, view } from '@runner/engine/engine';
import { NativeEngine } from '@runner/engine/native';
import { buildLogits, HEAD, headShape } from '@runner/heads/causalLm';
import { openParameters } from '@runner/jobs/openParameters';
import { openFiles } from '@runner/jobs/prepare';
import { prepareMethod } from '@runner/methods/index';
import { openAdapter } from '@runner/methods/peftAdapter';
import type { CausalLm } from '@runner/models/causalLm';
import { loadParameters, openModel } from '@runner/models/loadModel';
import { newBuilder, ops } from '@runner/ops/index';
import { Arena, layoutArena, type ParameterSet } from '@runner/train/arena';
import { BODY, buildEvaluation } from '@runner/train/bodyProgram';
import { TrainStep } from '@runner/train/trainStep';
import {
  type AdapterName,
  adapterDirOf,
  deviation,
  hasNoEffect,
  modelDirOf,
  type ReferenceBatch,
  type ReferenceCase,
  type ReferenceModel,
  readAdapter,
  readAdapterTensors,
} from './fixtures';

export interface OpenedReference {
  readonly model: CausalLm;
  readonly parameters: ParameterSet;
  /** Of what is trained. */
  readonly gradients: Arena;
  readonly engine: NativeEngine;
  readonly step: TrainStep;
}

export async function openReference(name: ReferenceModel): Promise<OpenedReference> {
  const { model, ...opened } = await openModel(modelDirOf(name));
  const parameters = await loadParameters({ model, ...opened });
  const gradients = new Arena(layoutArena(model.parameters));
  const engine = new NativeEngine(ops);
  const step = new TrainStep({ engine, newBuilder, model, parameters, gradients });
  return { model, parameters, gradients, engine, step };
}

/** What says of an adapter what PEFT was told. */
export function recipeOf(name: AdapterName): Recipe {
  const { model, kind, options, quantized } = readAdapter(name);
  const of = {
    LORA: 'lora',
    IA3: 'ia3',
    PROMPT_TUNING: 'prompt_tuning',
    P_TUNING: 'p_tuning',
    PREFIX_TUNING: 'prefix_tuning',
  };
  return recipeSchema.parse({
    ...{ model, dataset: 'samples', method: quantized ? 'qlora' : of[kind], [of[kind]]: options },
    quantization: { load_in_8bit: quantized === 'int8' },
  });
}

/** A reference adapter beside its base model, as a run trains it. */
export async function openAdapted(name: AdapterName): Promise<OpenedReference> {
  const { model: base } = readAdapter(name);
  const opened = await openModel(modelDirOf(base));
  const recipe = recipeOf(name);
  const method = prepareMethod(opened.model, recipe, base);
  const { model } = method;
  // Of p-tuning PEFT saves no more than what others use of it.
  const adapter = recipe.method === 'p_tuning' ? undefined : await openAdapter(adapterDirOf(name));
  const { trained, parameters } = await openParameters({ ...opened, adapter }, method, recipe);
  if (!adapter) {
    const tensors = await readAdapterTensors(name);
    for (const { name: key } of trained.tensors) trained.slice(key).set(await tensors.read(`encoder.${key}`));
  }
  const gradients = new Arena(trained.layout);
  const engine = new NativeEngine(ops);
  return {
    ...{ model, parameters, gradients, engine },
    step: new TrainStep({ engine, newBuilder, model, parameters, gradients }),
  };
}

/** A reference adapter as a model is opened with it to be used. */
export async function openWithAdapter(name: AdapterName): Promise<OpenedReference> {
  const opened = await openFiles(
    adapterDirOf(name),
    async (named) => (named.includes('/') ? named : modelDirOf(named as ReferenceModel)),
    '/',
  );
  const { model } = opened;
  const parameters = await loadParameters(opened);
  const gradients = new Arena(layoutArena([]));
  const engine = new NativeEngine(ops);
  return {
    model,
    parameters,
    gradients,
    engine,
    step: new TrainStep({ engine, newBuilder, model, parameters, gradients }),
  };
}

/** The batch as the loop would feed it, padded as the fixture is. */
export function batchOf(batch: ReferenceBatch, { front }: Pick<CausalLm, 'front'>): Batch {
  const samples = batch.input_ids.map((ids, row) => ({
    inputIds: Int32Array.from(ids.slice(0, batch.lengths[row])),
    labels: Int32Array.from(batch.labels[row]!.slice(0, batch.lengths[row])),
    line: row + 1,
    truncated: false,
  }));
  return collate(samples, { length: batch.input_ids[0]!.length, padTokenId: 0, front });
}

/** Mean loss over the batch's supervised tokens. */
export async function lossOf({ model, step }: OpenedReference, batch: ReferenceBatch): Promise<number> {
  const collated = batchOf(batch, model);
  return (await step.evaluate(collated)).loss / collated.rows.length;
}

/** [B, T, V] of the text's tokens, with zeros where a row is padded, as the fixtures have it. */
export async function logitsOf({ model, parameters, engine }: OpenedReference, batch: ReferenceBatch) {
  const { inputIds, batchSize, length: whole } = batchOf(batch, model);
  const length = batch.input_ids[0]!.length;
  const virtual = whole - length;
  const rows = batchSize * whole;
  const { parts } = buildEvaluation(newBuilder('body'), model, { batch: batchSize, length: whole, tokens: rows });
  const body = await engine.compile(parts[0]!);
  const hidden = view(new Float32Array(rows * model.hiddenSize), [rows, model.hiddenSize]);
  const positions = BigInt64Array.from({ length: rows }, (_, i) => BigInt(i % whole));
  const inputs: Record<string, TensorView> = {
    [BODY.ids]: view(inputIds, [rows]),
    [BODY.positions]: view(positions, [rows]),
  };
  for (const tensor of parameters.tensors) inputs[tensor.name] = parameters.view(tensor.name);
  await body.run(inputs, { [BODY.hidden]: hidden });
  await body.release();

  const g = newBuilder('logits');
  buildLogits(g, headShape(model, rows));
  const head = await engine.compile(g.graph);
  const data = new Float32Array(rows * model.vocabSize);
  const logits = view(data, [rows, model.vocabSize]);
  await head.run({ [HEAD.hidden]: hidden, [HEAD.weight]: parameters.view(model.headWeight) }, { logits });
  await head.release();
  const found = new Float32Array(batchSize * length * model.vocabSize);
  batch.attention_mask.forEach((row, b) => {
    row.forEach((real, t) => {
      const from = (b * whole + virtual + t) * model.vocabSize;
      if (real) found.set(data.subarray(from, from + model.vocabSize), (b * length + t) * model.vocabSize);
    });
  });
  return found;
}

export interface GradientDeviation {
  readonly parameter: string;
  /** Of the first batch's gradient. */
  readonly alone: number;
  /** Of the sum of the first two batches' gradients, added up where they lie. */
  readonly added: number;
}

export async function gradientDeviations(
  { model, step, gradients }: OpenedReference,
  { batches, tensors }: Pick<ReferenceCase, 'batches' | 'tensors'>,
  /** The name in the fixture. */
  named = (parameter: string) => parameter,
): Promise<GradientDeviation[]> {
  const names = gradients.layout.tensors.map(({ name }) => name);
  // Where it is zero but for rounding, rounding is not compared with rounding.
  const measured = (name: string, reference: Float32Array): number =>
    hasNoEffect(name) ? Math.max(...gradients.slice(name).map(Math.abs)) : deviation(gradients.slice(name), reference);
  const accumulate = (n: number) => {
    const batch = batchOf(batches[n]!, model);
    return step.accumulate(batch, { weight: 1 / batch.rows.length, first: n === 0, seed: 1n });
  };
  const alone = new Map<string, number>();
  await accumulate(0);
  for (const name of names) alone.set(name, measured(name, await tensors.read(`0.grad.${named(name)}`)));
  await accumulate(1);
  const found: GradientDeviation[] = [];
  for (const parameter of names) {
    const [first, second] = [
      await tensors.read(`0.grad.${named(parameter)}`),
      await tensors.read(`1.grad.${named(parameter)}`),
    ];
    const sum = first.map((x, i) => x + second[i]!);
    found.push({ parameter, alone: alone.get(parameter)!, added: measured(parameter, sum) });
  }
  return found;
}

/** PEFT's name of each parameter that an adapter trains, by ours: it calls what it wraps by other names than it saves. */
export function gradientNames(name: AdapterName, tensors: readonly string[]): ReadonlyMap<string, string> {
  const { kind } = readAdapter(name);
  const plain = (key: string) =>
    key.replace(/^base_model\.model\./, '').replace(/\.(base_layer|modules_to_save)\./, '.');
  const saved = (key: string) => {
    if (key.startsWith('prompt_encoder.')) return kind === 'P_TUNING' ? key : 'prompt_embeddings';
    return /\.(lora_|ia3_)/.test(key) ? key.replace(/(magnitude_vector)\.weight$/, '$1') : plain(key);
  };
  const keys = tensors.flatMap((key) => /^0\.grad\.(.*)$/.exec(key)?.[1] ?? []);
  return new Map(keys.map((key) => [saved(key), key]));
}
