/**
 * What an architecture is to the rest of the runner: its parameters by their Hugging Face names, and a function that
 * writes its body. How attention reads keys and values is the caller's: training, prefill and cached decoding hand in
 * their own {@link Attend}, so one description of the model serves all three.
 */
import type { Builder } from '../graph/builder';
import type { Shape, Value } from '../graph/ir';
import type { ModelConfig } from '../hub/modelDir';

export interface ParameterSpec {
  /** The name in the safetensors file. */
  readonly name: string;
  readonly shape: Shape;
  /** Whether weight decay applies: not to biases and norm weights, as in transformers' Trainer. */
  readonly decay: boolean;
  /** Standard deviation of a fresh model's normal distribution; 0 and 1 stand for constants of norms and biases. */
  readonly init:
    | { readonly kind: 'normal'; readonly std: number }
    /** Between − and + `limit`. */
    | { readonly kind: 'uniform'; readonly limit: number }
    | { readonly kind: 'zeros' }
    | { readonly kind: 'ones' }
    /** The length of what each output of a matrix is made with: of its rows, or of its columns in a Conv1D. */
    | { readonly kind: 'lengths'; readonly of: string }
    /** These rows of another parameter. */
    | { readonly kind: 'rows'; readonly of: string; readonly rows: readonly number[] };
  /** Of a matrix that rows are multiplied by: [out, in] as PyTorch's Linear has it, or [in, out] as GPT-2's Conv1D. */
  readonly matrix?: 'linear' | 'conv1d';
  /** Default float32. */
  readonly dtype?: 'uint8';
  /** What the learning rate is multiplied by for it; default 1. */
  readonly rate?: number;
}

export interface AttentionOptions {
  readonly layer: number;
  /** The scores are multiplied by this before softmax. */
  readonly scale: number;
  /** A token sees this many positions back, itself included; undefined: all. */
  readonly window?: number;
  /** Scores s become c · tanh(s / c), before the mask. */
  readonly softcap?: number;
  /** [heads]: what each head's scores fall by with every token of distance (ALiBi). */
  readonly slopes?: Float32Array;
}

/** q [N, heads, headDim], k and v [N, kvHeads, headDim] of N tokens → context [N, heads · headDim]. */
export type Attend = (q: Value, k: Value, v: Value, options: AttentionOptions) => Value;

export interface BodyContext {
  readonly g: Builder;
  /** A parameter by its name in {@link CausalLm.parameters}. */
  param(name: string): Value;
  /** int64 [N]: the tokens of all rows, virtual ones included; which of them see each other is the business of `attend`. */
  readonly ids: Value;
  /** int64 [N] */
  readonly positions: Value;
  readonly attend: Attend;
  /** Zeroes a share `p` of the elements; the identity when not training. */
  dropout(x: Value, p: number): Value;
  /** Sees what goes into a matrix of {@link ParameterSpec.matrix} (named without ".weight") and what came of it. */
  adapt?(name: string, x: Value, y: Value): Value;
  /** What stands for the tokens, [N, width], in place of x: their embeddings. */
  embed?(x: Value): Value;
  /** What goes into a matrix of {@link ParameterSpec.matrix} (named without ".weight") in place of x. */
  into?(name: string, x: Value): Value;
  /** x [N, in] times a matrix of {@link ParameterSpec.matrix} (named without ".weight") that is not there as such. */
  product?(name: string, x: Value): Value | undefined;
  /** Has what `make` makes computed again backwards, where it would be kept otherwise. */
  computedAgain?(make: () => Value): Value;
  /** Told what enters each layer: all that gradient checkpointing keeps of it. */
  enters?(x: Value): void;
}

/** Virtual tokens in front of every text. */
export interface Front {
  /** Behind those of the vocabulary. */
  readonly ids: readonly number[];
  /** Whether a text's first token is learnt from the last of them. */
  readonly foretells: boolean;
}

export interface CausalLm {
  readonly modelType: string;
  readonly vocabSize: number;
  readonly hiddenSize: number;
  /** Tokens that a text can have. */
  readonly maxPositions: number;
  /** What is in front of every text; default: nothing. */
  readonly front?: Front;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Dropout of the attention probabilities, applied by the {@link Attend} of training. */
  readonly attentionDropout: number;
  readonly parameters: readonly ParameterSpec[];
  /** The matrix [vocabSize, hiddenSize] that turns hidden states into logits; the embedding's own name where tied. */
  readonly headWeight: string;
  readonly embedding: string;
  /** Logits z become c · tanh(z / c). */
  readonly logitSoftcap?: number;
  /** Token ids to normalised hidden states [N, hiddenSize]. */
  body(context: BodyContext): Value;
}

/** One entry of the registry: reads a `config.json` of its `model_type`. */
export interface Architecture {
  readonly modelType: string;
  /** Prefix that weight names carry in some files and lack in others: "transformer.". */
  readonly optionalPrefix: string;
  /** Tensors that old files hold and that are no parameters: attention masks and the like. */
  readonly ignored: RegExp;
  /** @throws TuneyardError `model_unsupported` naming what is not supported, `model_invalid` */
  parse(config: ModelConfig, file: string): CausalLm;
}

export const normal = (std: number) => ({ kind: 'normal', std }) as const;
export const zeros = { kind: 'zeros' } as const;
export const ones = { kind: 'ones' } as const;
