import type { Method } from './method';

/** Every weight is trained. */
export const full: Method = {
  name: 'full',
  prepare: (model) => ({ model, trainable: new Set(model.parameters.map(({ name }) => name)) }),
};
