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

export function optimize(graph: Graph, ops: OpRegistry): Graph {
  let g = foldConstants(graph, ops);
  g = commonSubexpressions(g);
  g = foldTransposes(g);
  g = hoistRowScales(g, (to) => new Builder(ops, to));
  g = deadCode(g);
  g = fuseGemm(g);
  g = orientProducts(g, (to) => new Builder(ops, to));
  return inOrder(deadCode(commonSubexpressions(g)));
}
