/**
 * Adagrad (Duchi, Hazan & Singer 2011), with torch.optim.Adagrad's semantics and defaults: s ← s + g²,
 * p ← p − η g / (√s + 1e-10), no decay of the rate, weight decay added to the gradient (L2).
 */
import { elementwise } from './elementwise';

const EPSILON = 1e-10;

export const adagrad = elementwise<'gradient_factor' | 'l2' | 'rate'>(({ weight_decay: decay }) => ({
  state: ['sum'],
  scalars: ({ learningRate, gradientScale }) => ({ gradient_factor: gradientScale, l2: decay, rate: learningRate }),
  update: ({ g, parameter, gradient, state, scalar, decays }) => {
    const scaled = g.mul(gradient, scalar('gradient_factor'));
    const total = decays ? g.add(scaled, g.mul(parameter, scalar('l2'))) : scaled;
    const sum = g.add(state[0]!, g.square(total));
    const update = g.div(g.mul(total, scalar('rate')), g.add(g.sqrt(sum), EPSILON));
    return { parameter: g.sub(parameter, update), state: [sum] };
  },
}));
