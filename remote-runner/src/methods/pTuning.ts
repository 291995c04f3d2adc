/**
 * P-tuning (Liu et al. 2021) as PEFT has it: embeddings in front of every text, which a small network makes of learnt ones.
 * Who uses them needs no network: what it makes is saved. The network is saved as well, for training to go on.
 */
import type { Value } from '../graph/ir';
import type { BodyContext, ParameterSpec } from '../models/causalLm';
import type { ParameterSet } from '../train/arena';
import { type Method, softPromptMethod } from './method';
import { FRESH, LEARNT, widthOf, withEmbeddings } from './softPrompt';

const EMBEDDING = 'prompt_encoder.embedding.weight';
/** Linear layers, with ReLU between them. */
const LAYERS = [0, 2, 4].map((at) => `prompt_encoder.mlp_head.${at}`);

export const pTuning: Method = {
  name: 'p_tuning',
  prepare(model, { p_tuning: options }, base) {
    const width = widthOf(model);
    const inner = options.encoder_hidden_size ?? width;
    const count = options.num_virtual_tokens;
    const adapted = withEmbeddings(model, count, specsOf(count, width, inner), encoded);
    const prepared = softPromptMethod(model, adapted, {
      peft_type: 'P_TUNING',
      base_model_name_or_path: base,
      encoder_reparameterization_type: 'MLP',
      encoder_hidden_size: inner,
      encoder_num_layers: 2,
      encoder_dropout: 0,
    });
    const derived = { name: LEARNT, shape: [count, width], of: promptOf };
    return { ...prepared, adapter: { ...prepared.adapter!, derived } };
  },
};

/** As PyTorch initialises an Embedding and Linears. */
function specsOf(count: number, width: number, inner: number): ParameterSpec[] {
  const sizes = [width, inner, inner, width];
  const layers = LAYERS.flatMap((name, i): ParameterSpec[] => {
    const [from, to] = [sizes[i]!, sizes[i + 1]!];
    const init = { kind: 'uniform', limit: 1 / Math.sqrt(from) } as const;
    return [
      { name: `${name}.weight`, shape: [to, from], decay: true, init },
      { name: `${name}.bias`, shape: [to], decay: false, init },
    ];
  });
  return [{ name: EMBEDDING, shape: [count, width], decay: true, init: FRESH }, ...layers];
}

function encoded({ g, param }: BodyContext): Value {
  return LAYERS.reduce((x, name, i) => {
    const y = g.gemm(x, param(`${name}.weight`), param(`${name}.bias`), { transB: true });
    return i + 1 < LAYERS.length ? g.relu(y) : y;
  }, param(EMBEDDING));
}

/** The same, here: [count, width] */
function promptOf(parameters: ParameterSet): Float32Array {
  return LAYERS.reduce((x, name, i) => {
    const [weight, bias] = [parameters.slice(`${name}.weight`), parameters.slice(`${name}.bias`)];
    const [out, inner] = [bias.length, weight.length / bias.length];
    const y = new Float32Array((x.length / inner) * out);
    for (let at = 0; at < y.length; at++) {
      const [row, column] = [Math.floor(at / out), at % out];
      let sum = bias[column]!;
      for (let k = 0; k < inner; k++) sum += x[row * inner + k]! * weight[column * inner + k]!;
      y[at] = i + 1 < LAYERS.length ? Math.max(0, sum) : sum;
    }
    return y;
  }, parameters.slice(EMBEDDING));
}
