import type { Builder } from '../graph/builder';
import type { Value } from '../graph/ir';
import type { CausalLm } from './causalLm';

/** A model's parameters as inputs of a graph: each goes by its own name and is declared when it is first asked for. */
export function parameterInputs(
  g: Builder,
  model: CausalLm,
): { param: (name: string) => Value; declared: ReadonlyMap<string, Value> } {
  const specs = new Map(model.parameters.map((spec) => [spec.name, spec]));
  const declared = new Map<string, Value>();
  const param = (name: string): Value => {
    let found = declared.get(name);
    if (!found) {
      const { shape, dtype = 'float32' } = specs.get(name)!;
      found = g.input(name, dtype, shape);
      declared.set(name, found);
    }
    return found;
  };
  return { param, declared };
}
