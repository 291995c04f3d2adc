/**
 * Adam (Kingma & Ba 2015) and AdamW (Loshchilov & Hutter 2019), with torch.optim's semantics:
 *
 *   m ← β₁ m + (1 − β₁) g        v ← β₂ v + (1 − β₂) g²        b₁ = 1 − β₁ᵗ, b₂ = 1 − β₂ᵗ
 *   p ← p − (η / b₁) m / (√(v / b₂) + ε)
 *
 * Weight decay λ: Adam adds λ p to g; AdamW multiplies p by 1 − ηλ beforehand.
 *
 * Each pass over the weights costs as much as the next, so numbers are folded together. With h = √(1 − β₂) g, v's
 * update is β₂ v + h²; and m is kept as M = m √(1 − β₂) / (1 − β₁), so that its update is β₁ M + h. Then
 *
 *   p ← p (1 − ηλ) − κ M / (√v + ε √b₂)    with κ = η √b₂ / b₁ · (1 − β₁) / √(1 − β₂)
 */
import { elementwise } from './elementwise';

type AdamScalar = 'gradient_factor' | 'l2' | 'beta1' | 'beta2' | 'epsilon' | 'rate' | 'keep';

function adamFamily(decoupled: boolean) {
  return elementwise<AdamScalar>((recipe) => {
    const { adam_beta1: beta1, adam_beta2: beta2, adam_epsilon: epsilon, weight_decay: decay } = recipe;
    const fold = Math.sqrt(1 - beta2);
    return {
      state: ['momentum', 'variance'],
      scalars: ({ learningRate, gradientScale, step }) => {
        const correction = Math.sqrt(1 - beta2 ** step);
        return {
          gradient_factor: gradientScale * fold,
          l2: decay * fold,
          beta1,
          beta2,
          epsilon: epsilon * correction,
          rate: (learningRate * correction * (1 - beta1)) / ((1 - beta1 ** step) * fold),
          keep: 1 - learningRate * decay,
        };
      },
      update: ({ g, parameter, gradient, state, scalar, decays }) => {
        const scaled = g.mul(gradient, scalar('gradient_factor'));
        const h = decays && !decoupled ? g.add(scaled, g.mul(parameter, scalar('l2'))) : scaled;
        const momentum = g.add(g.mul(state[0]!, scalar('beta1')), h);
        const variance = g.add(g.mul(state[1]!, scalar('beta2')), g.square(h));
        const update = g.div(g.mul(momentum, scalar('rate')), g.add(g.sqrt(variance), scalar('epsilon')));
        const kept = decays && decoupled ? g.mul(parameter, scalar('keep')) : parameter;
        return { parameter: g.sub(kept, update), state: [momentum, variance] };
      },
      kernel: (kernels, { parameter, gradient, state: [momentum, variance], bytes }, numbers, decays) => {
        const { gradient_factor, l2, epsilon, rate, keep } = numbers;
        kernels.adam(
          parameter,
          gradient,
          momentum!,
          variance!,
          bytes,
          gradient_factor,
          decays && !decoupled ? l2 : 0,
          beta1,
          beta2,
          epsilon,
          rate,
          decays && decoupled ? keep : 1,
        );
      },
    };
  });
}

/** Weight decay as L2, added to the gradient. */
export const adam = adamFamily(false);
/** Weight decay decoupled from the gradient. */
export const adamw = adamFamily(true);
