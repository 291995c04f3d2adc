/** Evaluation of element-wise ops on constants, for folding. float32 results are rounded once, as the kernels do. */
import type { ConstantData, Node } from '../graph/ir';
import { elementCount } from '../graph/ir';

type Fold = (inputs: readonly ConstantData[], node: Node) => readonly ConstantData[] | null;

/** Folds `f` over float32 operands of one shape, or of which one is a single number; leaves the rest alone. */
export function foldFloats(f: (...operands: number[]) => number): Fold {
  return (inputs, node) => {
    const count = elementCount(node.outputs[0]!.shape);
    const operands: Float32Array[] = [];
    for (const data of inputs) {
      if (!(data instanceof Float32Array) || (data.length !== count && data.length !== 1)) return null;
      operands.push(data);
    }
    return [Float32Array.from({ length: count }, (_, i) => f(...operands.map((x) => x[x.length === 1 ? 0 : i]!)))];
  };
}
