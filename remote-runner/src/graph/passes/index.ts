/** The passes, in the order that lets each find what the one before made possible. */
import type { OpRegistry } from '../../ops/op';
import { Builder } from '../builder';
import type { Graph } from '../ir';
import { commonSubexpressions } from './commonSubexpressions';
import { deadCode } from './deadCode';
import { foldConstants } from './foldConstants';
import { foldTransposes } from './foldTransposes';
import { fuseGemm } from './fuseGemm';
import { hoistRowScales } from './hoistRowScales';
import { inOrder } from './inOrder';
import { orientProducts } from './orientProducts';
import { standIns } from './standIns';
import { widen } from './widen';

/** Passes that make a graph faster and that it can do without. */
export const FUSIONS = [
  'commonSubexpressions',
  'foldTransposes',
  'hoistRowScales',
  'fuseGemm',
  'orientProducts',
] as const;
export type Fusion = (typeof FUSIONS)[number];

export interface OptimizeOptions {
  /** Whether the device computes such an op on 16-bit numbers itself; where not, float32 does it. */
  readonly hasLowKernel?: (op: string) => boolean;
  /** Left out, to measure what it brings. */
  readonly without?: Fusion | undefined;
}

export function optimize(graph: Graph, ops: OpRegistry, options: OptimizeOptions = {}): Graph {
  const { hasLowKernel = isMoved, without } = options;
  const builderFor = (to: Graph) => new Builder(ops, to);
  const fuse = (fusion: Fusion, pass: (graph: Graph) => Graph) => (fusion === without ? g : pass(g));
  let g = foldConstants(deadCode(standIns(graph)), ops);
  g = fuse('commonSubexpressions', commonSubexpressions);
  g = fuse('foldTransposes', foldTransposes);
  g = fuse('hoistRowScales', (from) => hoistRowScales(from, builderFor));
  g = deadCode(g);
  g = fuse('fuseGemm', fuseGemm);
  g = fuse('orientProducts', (from) => orientProducts(from, builderFor));
  g = widen(g, builderFor, hasLowKernel);
  g = fuse('commonSubexpressions', commonSubexpressions);
  return inOrder(deadCode(g));
}

/** What ONNX Runtime's CPU provider does with 16-bit numbers of either type: it moves them about. */
function isMoved(op: string): boolean {
  return op === 'Reshape' || op === 'Transpose';
}
