/**
 * Virtual tokens in front of every text, by what is learnt of them: their embeddings (prompt tuning, Lester et al. 2021),
 * or the keys and values that every layer sees of them (prefix tuning, Li & Liang 2021). Files and names are PEFT's.
 */
import { TuneyardError } from '@protocol/errors';
import type { Builder } from '../graph/builder';
import type { Value } from '../graph/ir';
import { type Attend, type BodyContext, type CausalLm, normal, type ParameterSpec } from '../models/causalLm';

/** Its name in PEFT's files. */
export const LEARNT = 'prompt_embeddings';

type Init = ParameterSpec['init'];

/** PyTorch's Embedding begins so. */
export const FRESH = normal(1);

/** Of the token table's rows. */
export const widthOf = ({ parameters, embedding }: CausalLm): number =>
  parameters.find(({ name }) => name === embedding)!.shape[1]!;

/** The model with `count` learnt embeddings [count, width] in front of every text. */
export function withPrompt(model: CausalLm, count: number, init: Init = FRESH): CausalLm {
  const learnt = { name: LEARNT, shape: [count, widthOf(model)], decay: true, init };
  return withEmbeddings(model, count, [learnt], ({ param }) => param(LEARNT));
}

/** The model with embeddings [count, width] in front of every text that are computed from these parameters. */
export function withEmbeddings(
  model: CausalLm,
  count: number,
  parameters: readonly ParameterSpec[],
  prompt: (context: BodyContext) => Value,
): CausalLm {
  return withVirtual(model, { count, parameters, foretells: true }, (context) => {
    const { g } = context;
    const { isVirtual, rows } = placesOf(context, model);
    const embeddings = prompt(context);
    return { ...context, embed: (x) => g.where(g.reshape(isVirtual, [-1, 1]), g.gather(embeddings, rows), x) };
  });
}

/** The model with learnt keys and values of `count` tokens [count, layers · 2 · kvHeads · headDim] in front of every text. */
export function withPrefix(model: CausalLm, count: number, init: Init = FRESH): CausalLm {
  const { layers, kvHeads, headDim } = model;
  const size = kvHeads * headDim;
  const all = { name: LEARNT, shape: [count, layers * 2 * size], decay: true, init };
  return withVirtual(model, { count, parameters: [all], foretells: false }, (context) => {
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
  { count, parameters, foretells }: { count: number; parameters: readonly ParameterSpec[]; foretells: boolean },
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
    parameters: [...model.parameters, ...parameters],
    body: (context) => model.body(inner(context)),
  };
}

/** Of each row: whether it is a virtual token, and which; 0 where it is none. */
function placesOf({ g, ids }: BodyContext, { vocabSize }: CausalLm): { isVirtual: Value; rows: Value } {
  const isVirtual = g.less(g.scalar(vocabSize - 1, 'int64'), ids);
  return { isVirtual, rows: g.where(isVirtual, g.sub(ids, vocabSize), zero(g)) };
}

const zero = (g: Builder) => g.scalar(0, 'int64');
