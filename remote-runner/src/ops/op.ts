/**
 * What an op is. Every op is a file in this folder that exports one {@link OpDef}, and a line in `index.ts`.
 * Its examples are its test: they drive the shape check, the numeric gradient check and a run on ONNX Runtime.
 */
import type { Builder, ShapeRule } from '../graph/builder';
import type { Attribute, Attributes, ConstantData, Node, TensorType, Value } from '../graph/ir';

/** Everything a gradient rule may use. Values made through `g` become nodes of the same graph. */
export interface GradientContext {
  readonly g: Builder;
  readonly node: Node;
  /** The node's inputs; use {@link input} where one must be there. */
  input(index: number): Value;
  output(index: number): Value;
  /** Gradient of the loss by output `index`; throws if nothing asked for it. Rules with several outputs ask `dOutputs`. */
  readonly dy: Value;
  readonly dOutputs: readonly (Value | null)[];
  /** Whether somebody wants the gradient of input `index`: skip the work where not. */
  needs(index: number): boolean;
}

/** One gradient an input, or null. A gradient may still be broadcast: the driver sums it back to the input's shape. */
export type GradientRule = (context: GradientContext) => readonly (Value | null)[];

export type Gradient =
  | { readonly kind: 'differentiable'; readonly rule: GradientRule }
  /** The result does not depend smoothly on any input (comparisons, integer arithmetic): its gradient is zero. */
  | { readonly kind: 'none'; readonly why: string }
  /** It has a gradient that we do not have a rule for: asking is an error that says why. */
  | { readonly kind: 'unsupported'; readonly why: string };

export interface TensorExample {
  readonly dtype?: TensorType['dtype'];
  readonly shape: readonly number[];
  /** Exact data; else random numbers from `range` (default −1…1), or integers below `below`. */
  readonly data?: readonly number[];
  readonly range?: readonly [number, number];
  readonly below?: number;
  /** Given as a constant of the graph, where a rule looks at the value; its gradient is not checked. */
  readonly constant?: true;
}

export interface Example {
  readonly name: string;
  readonly inputs: readonly (TensorExample | null)[];
  readonly attributes?: Attributes;
  /** Shapes of the outputs, as the ONNX specification has them. */
  readonly shapes: readonly (readonly number[])[];
  /** Expected values of output 0, where short enough to state. */
  readonly expect?: readonly number[];
  /** Inputs whose gradient is checked numerically; default: every float input. */
  readonly check?: readonly number[];
  /** Outputs that the gradient check weighs; default: every float output. */
  readonly cotangents?: readonly number[];
}

/** Writes ONNX nodes for one IR node. */
export interface OnnxEmitter {
  input(index: number): string;
  /** '' for an optional input that is not given. */
  optional(index: number): string;
  output(index: number): string;
  /** A fresh name for a value in between; with its type where it may be large, so that its memory is planned. */
  temporary(type?: TensorType): string;
  ints(values: readonly number[]): string;
  /** A scalar (rank 0) initialiser. */
  scalar(value: number, dtype: TensorType['dtype']): string;
  /** A rank-0 uint64 initialiser: `scalar` takes a number, which is exact to 53 bits only. */
  uint64(value: bigint): string;
  node(
    op: string,
    inputs: readonly string[],
    outputs: readonly string[],
    attributes?: Readonly<Record<string, Attribute>>,
    domain?: string,
  ): void;
}

export interface OpDef extends ShapeRule {
  readonly name: string;
  /** ONNX Runtime's contrib ops live in `com.microsoft`. */
  readonly domain?: '' | 'com.microsoft';
  readonly gradient: Gradient;
  /**
   * For ops that read rows of input 0 (look-ups along axis 0): the gradient as rows, without scattering them into a
   * tensor of the table's size. `indices` int64 [n], `rows` [n, …rest]; indices repeat, their rows add up.
   * Null where this node does not read rows.
   */
  sparseRows?(context: GradientContext): { indices: Value; rows: Value } | null;
  /** Only where the ONNX node differs from the IR node: axes that are inputs there, an op made of several. */
  onnx?(node: Node, emit: OnnxEmitter): void;
  /** Bytes that ONNX Runtime's kernel holds beside its results while it runs, where they are worth counting. */
  scratchBytes?(node: Node): number;
  /** Evaluates on constants, for folding; only where it pays. Returns the outputs' data. */
  fold?(inputs: readonly ConstantData[], node: Node): readonly ConstantData[] | null;
  readonly examples: readonly Example[];
}

export const differentiable = (rule: GradientRule): Gradient => ({ kind: 'differentiable', rule });
export const noGradient = (why: string): Gradient => ({ kind: 'none', why });
export const unsupportedGradient = (why: string): Gradient => ({ kind: 'unsupported', why });

export type OpRegistry = ReadonlyMap<string, OpDef>;
