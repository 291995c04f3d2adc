/** Shape and type rules that many ops share. */
import { type Attributes, type DType, formatShape, GraphError, isFloat, type TensorType } from '../graph/ir';
import { broadcastShapes } from '../graph/shape';

type Inputs = readonly (TensorType | null)[];

/** The type of input `index`. @throws GraphError where it is not given */
export function given(inputs: Inputs, index: number): TensorType {
  const type = inputs[index];
  if (!type) throw new GraphError(`input ${index} is missing`);
  return type;
}

/** One result like input 0. */
export function likeFirst(inputs: Inputs): TensorType[] {
  const { dtype, shape } = given(inputs, 0);
  return [{ dtype, shape }];
}

/** As {@link likeFirst}, for functions of real numbers. */
export function likeFirstFloat(inputs: Inputs): TensorType[] {
  requireFloat(given(inputs, 0));
  return likeFirst(inputs);
}

/** Operands of one type that broadcast. */
export function broadcastLike(inputs: Inputs): TensorType[] {
  const first = given(inputs, 0);
  requireSameDType(...inputs.map((_, i) => given(inputs, i)));
  return [{ dtype: first.dtype, shape: broadcastShapes(...inputs.map((_, i) => given(inputs, i).shape)) }];
}

export function requireSameDType(...types: TensorType[]): void {
  const names = types.map((type) => type.dtype);
  if (new Set(names).size > 1) throw new GraphError(`operands of type ${names.join(' and ')} do not mix: cast one`);
}

export function requireFloat(type: TensorType): void {
  if (!isFloat(type.dtype)) throw new GraphError(`wants real numbers, got ${type.dtype}`);
}

export function requireDType(type: TensorType, what: string, ...dtypes: DType[]): void {
  if (!dtypes.includes(type.dtype)) throw new GraphError(`${what} must be ${dtypes.join(' or ')}, not ${type.dtype}`);
}

/** @throws GraphError where the number of dimensions is under `least` or over `most` */
export function requireRank(type: TensorType, what: string, least: number, most = Number.POSITIVE_INFINITY): void {
  const rank = type.shape.length;
  if (rank >= least && rank <= most) return;
  const wanted =
    most === least ? `${least}` : `${least}${most === Number.POSITIVE_INFINITY ? ' or more' : ` to ${most}`}`;
  throw new GraphError(`${what} ${formatShape(type.shape)} must have ${wanted} dimensions`);
}

export function numberAttribute(attributes: Attributes, name: string, fallback?: number): number {
  const value = attributes[name] ?? fallback;
  if (typeof value === 'boolean') return value ? 1 : 0;
  if (typeof value !== 'number') throw new GraphError(`attribute ${name} must be a number`);
  return value;
}

export function intsAttribute(attributes: Attributes, name: string): readonly number[] {
  const value = attributes[name];
  if (!Array.isArray(value)) throw new GraphError(`attribute ${name} must be a list of whole numbers`);
  return value as readonly number[];
}

export function stringAttribute(attributes: Attributes, name: string, fallback?: string): string {
  const value = attributes[name] ?? fallback;
  if (typeof value !== 'string') throw new GraphError(`attribute ${name} must be a string`);
  return value;
}
