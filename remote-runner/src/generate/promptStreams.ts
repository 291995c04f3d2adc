/**
 * A stream number of the random generator for each prompt: made of the prompt's tokens (FNV-1a, 32 bits) and of how
 * many equal prompts come before it. So a prompt's text stays the same whatever else is generated with it, and in
 * whichever order, while a prompt given three times gets three different texts.
 *
 * @param prompts token ids
 * @returns a number in [0, 2³²) a prompt
 */
export function promptStreams(prompts: readonly Int32Array[]): number[] {
  const seen = new Map<string, number>();
  return prompts.map((ids) => {
    const key = ids.join(' ');
    const occurrence = seen.get(key) ?? 0;
    seen.set(key, occurrence + 1);
    let hash = 0x811c9dc5;
    for (const id of [...ids, occurrence]) {
      for (let shift = 0; shift < 32; shift += 8) {
        hash = Math.imul(hash ^ ((id >>> shift) & 0xff), 0x01000193) >>> 0;
      }
    }
    return hash;
  });
}
