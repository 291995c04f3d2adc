/**
 * Stochastic gradient descent, with torch.optim.SGD's semantics: weight decay is added to the gradient (L2), and with
 * momentum μ (no dampening, not Nesterov's) b ← μ b + g, p ← p − η b.
 */
import { elementwise } from './elementwise';

type SgdScalar = 'gradient_factor' | 'l2' | 'momentum_factor' | 'rate' | 'gradient_rate' | 'keep';

export const sgd = elementwise<SgdScalar>(({ weight_decay: decay, sgd_momentum: factor }) => ({
  state: factor > 0 ? ['momentum'] : [],
  scalars: ({ learningRate, gradientScale }) => ({
    gradient_factor: gradientScale,
    l2: decay,
    momentum_factor: factor,
    rate: learningRate,
    gradient_rate: learningRate * gradientScale,
    keep: 1 - learningRate * decay,
  }),
  update: ({ g, parameter, gradient, state: [before], scalar, decays }) => {
    if (!before) {
      const kept = decays ? g.mul(parameter, scalar('keep')) : parameter;
      return { parameter: g.sub(kept, g.mul(gradient, scalar('gradient_rate'))), state: [] };
    }
    const scaled = g.mul(gradient, scalar('gradient_factor'));
    const total = decays ? g.add(scaled, g.mul(parameter, scalar('l2'))) : scaled;
    const momentum = g.add(g.mul(before, scalar('momentum_factor')), total);
    return { parameter: g.sub(parameter, g.mul(momentum, scalar('rate'))), state: [momentum] };
  },
}));
