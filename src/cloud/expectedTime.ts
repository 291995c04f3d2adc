/**
 * How long a run will roughly take on a GPU, before anything was measured there:
 *
 *   seconds = 10 min to boot + 6 · weights · tokens / (a fifth of the GPU's float32 rate)
 *
 * 6 · N · T is what forward and backward of a transformer compute (Kaplan et al., 2020); a fifth is what small batches reach.
 * One GPU computes. It is shown as what it is: a rough guess.
 */
import type { Estimate } from '@protocol/runner';

/** Float32 without tensor cores, of NVIDIA's data sheets: 10¹² operations a second. */
const FLOAT32_TERA: Record<string, number> = {
  'nvidia-l4': 30.3,
  'nvidia-tesla-a100': 19.5,
  'nvidia-a100-80gb': 19.5,
  'nvidia-h100-80gb': 67,
  'nvidia-h100-mega-80gb': 67,
  'nvidia-tesla-t4': 8.1,
  'nvidia-tesla-v100': 15.7,
};
const SHARE = 0.2;
const BOOT_SECONDS = 600;

/** undefined for a GPU that is not known here. */
export function expectedSeconds(
  { parameters, batch, length, total_steps }: Pick<Estimate, 'parameters' | 'batch' | 'length' | 'total_steps'>,
  gpuType: string,
): number | undefined {
  const tera = FLOAT32_TERA[gpuType];
  if (tera === undefined) return undefined;
  const tokens = total_steps * batch * length;
  return BOOT_SECONDS + Math.ceil((6 * parameters * tokens) / (tera * 1e12 * SHARE));
}
