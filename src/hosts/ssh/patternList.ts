/** Patterns as ssh_config(5) and sshd(8) have them: `*`, `?`, and `!` in front of what must not match. */

/** Whether some pattern matches and no negated one does. */
export function matchesList(patterns: readonly string[], text: string): boolean {
  let matched = false;
  for (const pattern of patterns) {
    if (pattern.startsWith('!')) {
      if (matches(pattern.slice(1), text)) return false;
    } else if (matches(pattern, text)) matched = true;
  }
  return matched;
}

/** Whether a name is a name, not a pattern. */
export function isPlain(pattern: string): boolean {
  return !/[*?!]/.test(pattern);
}

export function matches(pattern: string, text: string): boolean {
  return new RegExp(`^${toSource(pattern)}$`, 's').test(text);
}

/** Stars in a row are one, so that no pattern takes long. */
function toSource(pattern: string): string {
  return pattern
    .replace(/\*+/g, '*')
    .replace(/[\\^$.()|[\]{}+]/g, '\\$&')
    .replace(/\*/g, '.*')
    .replace(/\?/g, '.');
}
