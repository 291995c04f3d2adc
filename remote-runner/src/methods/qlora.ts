/** Low-rank adapters beside matrices that are held in 4 or 8 bits (QLoRA, Dettmers et al. 2023). */
import { int8, nf4, quantized } from '../quantization/quantize';
import { lora } from './lora';
import type { Method } from './method';
import { matricesOf } from './targets';

export const qlora: Method = {
  name: 'qlora',
  prepare(model, recipe, base) {
    const prepared = lora.prepare(model, recipe, base);
    const scheme = recipe.quantization.load_in_8bit ? int8 : nf4;
    // What is trained whole stays as it is.
    const matrices = matricesOf(model).filter(({ name }) => !prepared.trainable.has(`${name}.weight`));
    return { ...prepared, model: quantized(prepared.model, matrices, scheme), quantized: { matrices, scheme } };
  },
};
