/**
 * GPT-2 and GPT-Neo written out in a hundred lines of plain arithmetic, one token at a time, as a {@link Decoder}: with it the
 * searches are held against transformers without graphs, engine or cache. It knows what the fixtures with generations need:
 * `gelu_new`, attention scaled by head size (GPT-2) or not at all (GPT-Neo), global and local layers, tied and untied heads.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Decoder, DecodeState } from '@runner/generate/decoder';
import { openWeights } from '@runner/hub/safetensors';

type Vector = Float64Array;
type Map1 = (x: Vector) => Vector;

interface Layer {
  ln1: Map1;
  /** Query, key and value side by side: `[3 · hidden]`. */
  qkv: Map1;
  out: Map1;
  ln2: Map1;
  up: Map1;
  down: Map1;
  /** How many tokens back a token sees, itself included. */
  window: number;
}

/** Keys and values of one token: `[2 · hidden]` a layer. Never changed, so rows share them. */
type Memory = readonly Vector[];

export class PlainGpt implements Decoder {
  readonly weights = 'plain';

  private constructor(
    readonly vocabSize: number,
    readonly maxLength: number,
    private readonly heads: number,
    private readonly scale: number,
    private readonly embed: (token: number, position: number) => Vector,
    private readonly layers: readonly Layer[],
    private readonly head: Map1,
  ) {}

  static async open(dir: string): Promise<PlainGpt> {
    const config = JSON.parse(await readFile(join(dir, 'config.json'), 'utf8')) as Record<string, number> & {
      attention_layers?: string[];
      layer_norm_epsilon: number;
    };
    const weights = await openWeights(dir);
    const neo = config.attention_layers;
    const hidden = neo ? config.hidden_size! : config.n_embd!;
    const heads = neo ? config.num_heads! : config.n_head!;
    const read = (name: string) => weights.readFloat32(name.startsWith('lm_head') ? name : `transformer.${name}`);
    const norm = async (name: string) =>
      layerNorm(await read(`${name}.weight`), await read(`${name}.bias`), config.layer_norm_epsilon);
    /** GPT-2 stores `[in, out]`, GPT-Neo `[out, in]`. */
    const linear = async (name: string, inputs: number, bias = true) => {
      const weight = await read(`${name}.weight`);
      const outputs = weight.length / inputs;
      const [perInput, perOutput] = neo ? [1, inputs] : [outputs, 1];
      return affine(weight, inputs, outputs, perInput, perOutput, bias ? await read(`${name}.bias`) : undefined);
    };
    const layers: Layer[] = [];
    for (let i = 0; i < (neo ? config.num_layers! : config.n_layer!); i++) {
      const attention = neo ? `h.${i}.attn.attention` : `h.${i}.attn`;
      const inner = weights.info(`transformer.h.${i}.mlp.c_fc.bias`).shape[0]!;
      const parts = neo
        ? await Promise.all(['q_proj', 'k_proj', 'v_proj'].map((part) => linear(`${attention}.${part}`, hidden, false)))
        : [await linear(`${attention}.c_attn`, hidden)];
      layers.push({
        ln1: await norm(`h.${i}.ln_1`),
        qkv: (x) => Float64Array.from(parts.flatMap((part) => [...part(x)])),
        out: await linear(neo ? `${attention}.out_proj` : `${attention}.c_proj`, hidden),
        ln2: await norm(`h.${i}.ln_2`),
        up: await linear(`h.${i}.mlp.c_fc`, hidden),
        down: await linear(`h.${i}.mlp.c_proj`, inner),
        window: neo?.[i] === 'local' ? config.window_size! : Number.POSITIVE_INFINITY,
      });
    }
    const wte = await read('wte.weight');
    const wpe = await read('wpe.weight');
    const headWeight = weights.has('lm_head.weight') ? await read('lm_head.weight') : wte;
    const project = affine(headWeight, hidden, config.vocab_size!, 1, hidden, undefined);
    const lastNorm = await norm('ln_f');
    return new PlainGpt(
      config.vocab_size!,
      wpe.length / hidden,
      heads,
      neo ? 1 : (hidden / heads) ** -0.5,
      (token, position) =>
        Float64Array.from({ length: hidden }, (_, i) => wte[token * hidden + i]! + wpe[position * hidden + i]!),
      layers,
      (x) => project(lastNorm(x)),
    );
  }

  /** Logits `[V]` that follow `token`, and what it adds to the memory. */
  next(past: readonly Memory[], token: number): { logits: Vector; memory: Memory } {
    const memory: Vector[] = [];
    let x = this.embed(token, past.length);
    for (const [index, layer] of this.layers.entries()) {
      const qkv = layer.qkv(layer.ln1(x));
      const hidden = x.length;
      memory.push(qkv.slice(hidden));
      const first = Math.max(0, past.length + 1 - layer.window);
      const seen = [...past.slice(first).map((token) => token[index]!), memory[index]!];
      x = add(x, layer.out(this.attend(qkv.subarray(0, hidden), seen)));
      x = add(x, layer.down(layer.up(layer.ln2(x)).map(geluNew)));
    }
    return { logits: this.head(x), memory };
  }

  /** Softmax over keys, then their values' mean, head by head. */
  private attend(query: Vector, seen: readonly Vector[]): Vector {
    const hidden = query.length;
    const size = hidden / this.heads;
    const mixed = new Float64Array(hidden);
    for (let start = 0; start < hidden; start += size) {
      const scores = seen.map((kv) => {
        let sum = 0;
        for (let i = start; i < start + size; i++) sum += query[i]! * kv[i]!;
        return sum * this.scale;
      });
      const max = Math.max(...scores);
      const powers = scores.map((score) => Math.exp(score - max));
      const total = powers.reduce((a, b) => a + b);
      for (const [j, kv] of seen.entries()) {
        for (let i = start; i < start + size; i++) mixed[i]! += (powers[j]! / total) * kv[hidden + i]!;
      }
    }
    return mixed;
  }

  async prefill(prompts: readonly Int32Array[], beams: number): Promise<DecodeState> {
    let memories: Memory[][] = [];
    const rows = prompts.length * beams;
    const logits = new Float32Array(rows * this.vocabSize);
    const lengths = new Int32Array(rows);
    const append = (row: number, token: number) => {
      const step = this.next(memories[row]!, token);
      memories[row] = [...memories[row]!, step.memory];
      logits.set(step.logits, row * this.vocabSize);
      lengths[row] = memories[row]!.length;
    };
    for (const [index, prompt] of prompts.entries()) {
      const first = index * beams;
      memories[first] = [];
      for (const token of prompt) append(first, token);
      for (let row = first + 1; row < first + beams; row++) {
        memories[row] = memories[first]!;
        lengths[row] = prompt.length;
        logits.copyWithin(row * this.vocabSize, first * this.vocabSize, (first + 1) * this.vocabSize);
      }
    }
    return {
      rows,
      logits,
      lengths,
      step: async (tokens) => {
        for (const [row, token] of tokens.entries()) append(row, token);
      },
      reorder: async (source) => {
        memories = Array.from(source, (from) => memories[from]!);
        lengths.set(memories.map((memory) => memory.length));
      },
      release: () => {},
    };
  }
}

function add(a: Vector, b: Vector): Vector {
  return a.map((value, i) => value + b[i]!);
}

function geluNew(x: number): number {
  return 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
}

function layerNorm(weight: Float32Array, bias: Float32Array, epsilon: number): Map1 {
  return (x) => {
    const mean = x.reduce((a, b) => a + b) / x.length;
    const variance = x.reduce((sum, value) => sum + (value - mean) ** 2, 0) / x.length;
    return x.map((value, i) => ((value - mean) / Math.sqrt(variance + epsilon)) * weight[i]! + bias[i]!);
  };
}

/** y = W x + b; element (input, output) of W lies at `input · perInput + output · perOutput`. */
function affine(
  weight: Float32Array,
  inputs: number,
  outputs: number,
  perInput: number,
  perOutput: number,
  bias: Float32Array | undefined,
): Map1 {
  return (x) => {
    const y = new Float64Array(outputs);
    for (let o = 0; o < outputs; o++) {
      let sum = bias?.[o] ?? 0;
      for (let i = 0; i < inputs; i++) sum += x[i]! * weight[i * perInput + o * perOutput]!;
      y[o] = sum;
    }
    return y;
  };
}
