/**
 * Virtual tokens in front of every text, by what is learnt of them: their embeddings (prompt tuning, Lester et al. 2021),
 * or the keys and values that every layer sees of them (prefix tuning, Li & Liang 2021). Files and names are PEFT's.
 */
import { TuneyardError } from '@protocol/errors';
import type { Builder } from '../graph/builder';
import type { Value } from '../graph/ir';
import { type Attend, type BodyContext, type CausalLm, normal, type ParameterSpec } from '../models/causalLm';

/** Its name in PEFT's files. */
const LEARNT = 'prompt_embeddings';

type Init = ParameterSpec['init'];

/** PyTorch's Embedding begins so. */
const FRESH = normal(1);

/** The model with `count` learnt embeddings [count, width] in front of every text. */
export function withPrompt(model: CausalLm, count: number, init: Init = FRESH): CausalLm {
  const width = model.parameters.find(({ name }) => name === model.embedding)!.shape[1]!;
  return withVirtual(model, count, [count, width], init, true, (context) => {
    const { g, param } = context;
    const { isVirtual, rows } = placesOf(context, model);
    return { ...context, embed: (x) => g.where(g.reshape(isVirtual, [-1, 1]), g.gather(param(LEARNT), rows), x) };
  });
}

/** The model with learnt keys and values of `count` tokens [count, layers · 2 · kvHeads · headDim] in front of every text. */
export function withPrefix(model: CausalLm, count: number, init: Init = FRESH): CausalLm {
  const { layers, kvHeads, headDim } = model;
  const size = kvHeads * headDim;
  return withVirtual(model, count, [count, layers * 2 * size], init, false, (context) => {
    const { g, param } = context;
    const { isVirtual, rows } = placesOf(context, model);
    const isIt = g.reshape(isVirtual, [-1, 1, 1]);
    const parts = g.split(
      param(LEARNT),
      Array.from({ length: 2 * layers }, () => size),
      1,
    );
    const learnt = (at: number, like: Value) =>
      g.where(isIt, g.reshape(g.gather(parts[at]!, rows), [-1, kvHeads, headDim]), like);
    const attend: Attend = (q, k, v, options) =>
      context.attend(q, learnt(2 * options.layer, k), learnt(2 * options.layer + 1, v), options);
    // What they are embedded as reaches nobody.
    return { ...context, attend, embed: (x) => x };
  });
}

function withVirtual(
  model: CausalLm,
  count: number,
  shape: readonly number[],
  init: Init,
  foretells: boolean,
  inner: (context: BodyContext) => BodyContext,
): CausalLm {
  if (count >= model.maxPositions) {
    throw new TuneyardError(
      'recipe_invalid',
      `${count} virtual tokens leave no room for a text: the model has ${model.maxPositions} positions.`,
    );
  }
  return {
    ...model,
    front: { ids: Array.from({ length: count }, (_, i) => model.vocabSize + i), foretells },
    maxPositions: model.maxPositions - count,
    parameters: [...model.parameters, { name: LEARNT, shape, decay: true, init }],
    body: (context) => model.body(inner(context)),
  };
}

/** Of each row: whether it is a virtual token, and which; 0 where it is none. */
function placesOf({ g, ids }: BodyContext, { vocabSize }: CausalLm): { isVirtual: Value; rows: Value } {
  const isVirtual = g.less(g.scalar(vocabSize - 1, 'int64'), ids);
  return { isVirtual, rows: g.where(isVirtual, g.sub(ids, vocabSize), zero(g)) };
}

const zero = (g: Builder) => g.scalar(0, 'int64');
