/** Packing: samples joined end to end and cut into blocks, so that pretraining on long text wastes no padding. */
import { IGNORED, type Sample, supervisedTokens } from './tokenize';

/**
 * Joins samples in their order and cuts them into blocks of `length` tokens. The last block may be shorter; a block
 * in which nothing is learned (all prompt) is left out.
 *
 * @param lineBreaks how many line breaks some tokens hold, where a sample's tokens follow the file's text, so that
 *   a block's `line` is where it begins; without it that is the line of the sample the block begins in
 */
export function packSamples(
  samples: readonly Sample[],
  length: number,
  lineBreaks: (ids: Int32Array) => number = () => 0,
): Sample[] {
  const blocks: Sample[] = [];
  let inputIds = new Int32Array(length);
  let labels = new Int32Array(length);
  let filled = 0;
  let line = 0;
  const finish = () => {
    const block = { inputIds: inputIds.slice(0, filled), labels: labels.slice(0, filled), line, truncated: false };
    if (supervisedTokens(block) > 0) blocks.push(block);
    inputIds = new Int32Array(length);
    labels = new Int32Array(length).fill(IGNORED);
    filled = 0;
  };
  for (const sample of samples) {
    let breaks = 0;
    for (let at = 0; at < sample.inputIds.length; ) {
      if (filled === 0) line = sample.line + breaks;
      const taken = Math.min(length - filled, sample.inputIds.length - at);
      const ids = sample.inputIds.subarray(at, at + taken);
      inputIds.set(ids, filled);
      labels.set(sample.labels.subarray(at, at + taken), filled);
      breaks += lineBreaks(ids);
      at += taken;
      filled += taken;
      if (filled === length) finish();
    }
  }
  if (filled > 0) finish();
  return blocks;
}
