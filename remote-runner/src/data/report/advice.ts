/** Plain words on whether there is enough data, and what to do about what was found. */
import type { Finding, FindingKind } from '@protocol/dataset';

/** Rules of thumb: tokens a weight to train from scratch (Hoffmann et al. 2022), and for a fine-tune of all weights. */
const SCRATCH_TOKENS_A_WEIGHT = 20;
const TUNE_TOKENS_A_WEIGHT = 1e-5;

export interface AdviceFacts {
  /** What is trained on, in tokens. */
  tokens: number;
  /** Of them, learned. */
  supervised: number;
  weights: number | undefined;
  rows: number;
  evalRows: number;
  /** By the filter. */
  leftOut: number;
  maxLength: number;
  /** 95 of 100 rows are at most this long. */
  p95: number;
  /** Counted in words: no model was chosen. */
  inWords: boolean;
  findings: readonly Finding[];
}

export function adviceFor(facts: AdviceFacts): string[] {
  const { tokens, weights, rows } = facts;
  const advice: string[] = [];
  if (facts.inWords) advice.push('No model is chosen: lengths are in words, not in tokens.');
  if (facts.leftOut > 0) {
    advice.push(`The filter leaves out ${facts.leftOut.toLocaleString('en')} of ${rows.toLocaleString('en')} rows.`);
  }
  if (weights !== undefined && weights > 0 && tokens > 0) {
    const scratch = SCRATCH_TOKENS_A_WEIGHT * weights;
    const tune = TUNE_TOKENS_A_WEIGHT * weights;
    const sizes = `${short(tokens)} tokens for ${short(weights)} weights`;
    if (tokens >= scratch) {
      advice.push(`${sizes}: enough even to train the model from scratch (about 20 tokens a weight).`);
    } else if (tokens >= tune) {
      advice.push(
        `${sizes}: enough for a fine-tune (at least 1 token for 100,000 weights). From scratch about ${short(scratch)} would be wanted.`,
      );
    } else {
      advice.push(
        `${sizes}: little for a fine-tune of all weights (at least ${short(tune)} tokens): train a LoRA adapter, or find more data.`,
      );
    }
  }
  const count = (kind: FindingKind) => facts.findings.find((finding) => finding.kind === kind)?.count ?? 0;
  if (count('unusable') > 0)
    advice.push('Training refuses the data as long as it has rows that cannot be used: fix or drop them.');
  if (count('leakage') > 0) {
    advice.push(
      'Rows held out for evaluation are trained on too: the evaluation will look better than the model is. Deduplicate first.',
    );
  }
  if (count('truncated') > 0.05 * rows) {
    advice.push(
      facts.p95 > facts.maxLength
        ? `Much text is cut off: max_length ${facts.p95} would keep 95 of 100 rows whole.`
        : 'Some rows lose their end: raise max_length, or split them.',
    );
  }
  if (count('duplicate') + count('near_duplicate') > 0.05 * rows) {
    advice.push('Many rows say the same: the model will learn them by heart. Deduplicate.');
  }
  if (count('secret') > 0)
    advice.push('What looks like a secret can be asked out of a trained model: remove it, and have it revoked.');
  if (tokens > 0 && facts.supervised < 0.02 * tokens) {
    advice.push('Less than 2% of the tokens are learned: the rest is prompt. Shorter prompts train faster.');
  }
  if (facts.evalRows === 0)
    advice.push('No row is held out: how well the model does on text it has not seen will not be known.');
  else if (facts.evalRows < 20 && rows >= 200)
    advice.push(`Only ${facts.evalRows} rows are held out: the evaluation will be noisy.`);
  return advice;
}

/** 12,345,678 → "12.3 M" */
function short(count: number): string {
  for (const [unit, size] of [
    ['T', 1e12],
    ['G', 1e9],
    ['M', 1e6],
    ['k', 1e3],
  ] as const) {
    if (count >= 0.9995 * size) return `${Number((count / size).toPrecision(3))} ${unit}`;
  }
  return String(Math.round(count));
}
