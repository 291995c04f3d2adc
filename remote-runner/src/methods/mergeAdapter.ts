/** An adapter that becomes part of the weights. */
import { join } from 'node:path';
import { TuneyardError } from '@protocol/errors';
import { ADAPTER_WEIGHTS_FILE } from '../hub/modelFiles';
import type { CausalLm } from '../models/causalLm';
import type { ParameterSet } from '../train/arena';
import { mergeIa3 } from './mergeIa3';
import { mergeLora } from './mergeLora';
import { isOfKind, type PeftAdapter, type Rounding, useless } from './peftAdapter';
import { matricesOf } from './targets';

const OF_MATRIX = /^base_model\.model\.(.+)\.(lora_A\.weight|lora_B\.weight|lora_magnitude_vector|ia3_l)$/;
const WHOLE = /^base_model\.model\.(.+?)(?:\.base_layer|\.modules_to_save)?\.(weight|bias)$/;
/** The others of a matrix are read with these. */
const FIRST = new Set(['lora_A.weight', 'ia3_l']);

/**
 * @returns the largest rounding error of a weight, as a share of the largest weight of its matrix
 * @throws TuneyardError `weights_invalid` for a tensor that the model has no use for, or that holds no finite number
 */
export async function mergeAdapter(
  adapter: PeftAdapter,
  model: CausalLm,
  parameters: ParameterSet,
  signal?: AbortSignal,
): Promise<number> {
  const matrices = new Map(matricesOf(model).map((matrix) => [matrix.name, matrix]));
  const known = new Set(model.parameters.map(({ name }) => name));
  let worst = 0;
  for (const name of adapter.weights.names()) {
    const [, module, part] = OF_MATRIX.exec(name) ?? [];
    if (module === undefined || part === undefined) {
      const [, owner, kind] = WHOLE.exec(name) ?? [];
      const target = `${owner}.${kind}`;
      if (!known.has(target)) throw useless(adapter, name);
      await adapter.weights.readFloat32(name, parameters.slice(target), signal);
      continue;
    }
    const matrix = matrices.get(module);
    if (!matrix) throw useless(adapter, name);
    if (!FIRST.has(part)) continue;
    const weight = parameters.slice(`${module}.weight`);
    const bias = known.has(`${module}.bias`) ? parameters.slice(`${module}.bias`) : undefined;
    let rounding: Rounding;
    if (isOfKind(adapter, 'LORA') && part !== 'ia3_l') rounding = await mergeLora(adapter, matrix, weight, signal);
    else if (isOfKind(adapter, 'IA3') && part === 'ia3_l')
      rounding = await mergeIa3(adapter, matrix, { weight, bias }, signal);
    else throw useless(adapter, name);
    if (!Number.isFinite(rounding.largest)) {
      throw new TuneyardError('weights_invalid', `the adapter's tensors of ${module} hold what is no finite number.`, {
        place: { file: join(adapter.dir, ADAPTER_WEIGHTS_FILE) },
      });
    }
    if (rounding.largest > 0) worst = Math.max(worst, rounding.error / rounding.largest);
  }
  return worst;
}
