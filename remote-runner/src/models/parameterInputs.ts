import type { Builder } from '../graph/builder';
import type { Value } from '../graph/ir';
import type { CausalLm } from './causalLm';

/** A model's parameters as inputs of a graph: each goes by its own name and is declared when it is first asked for. */
export function parameterInputs(
  g: Builder,
  model: CausalLm,
): { param: (name: string) => Value; declared: ReadonlyMap<string, Value> } {
  const shapes = new Map(model.parameters.map(({ name, shape }) => [name, shape]));
  const declared = new Map<string, Value>();
  const param = (name: string): Value => {
    let found = declared.get(name);
    if (!found) {
      found = g.input(name, 'float32', shapes.get(name)!);
      declared.set(name, found);
    }
    return found;
  };
  return { param, declared };
}
