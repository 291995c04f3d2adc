/** Likely secrets and e-mail addresses in a text: what must not be learned by heart. Shapes are those that the issuers document. */
export interface Match {
  kind: string;
  /** Enough of it to find it, without giving it away. */
  shown: string;
}

const SHAPES: readonly { kind: string; shape: RegExp }[] = [
  { kind: 'private key', shape: /-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----/ },
  { kind: 'AWS access key', shape: /\b(?:AKIA|ASIA)[0-9A-Z]{16}\b/ },
  { kind: 'GitHub token', shape: /\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{60,})\b/ },
  { kind: 'GitLab token', shape: /\bglpat-[A-Za-z0-9_-]{20,}/ },
  { kind: 'Hugging Face token', shape: /\bhf_[A-Za-z0-9]{30,}\b/ },
  { kind: 'OpenAI or Anthropic key', shape: /\bsk-(?:ant-|proj-)?[A-Za-z0-9_-]{32,}/ },
  { kind: 'Google API key', shape: /\bAIza[0-9A-Za-z_-]{35}(?![0-9A-Za-z_-])/ },
  { kind: 'Slack token', shape: /\bxox[abeoprs]-[0-9A-Za-z-]{10,}/ },
  { kind: 'Stripe key', shape: /\b[rs]k_(?:live|test)_[0-9A-Za-z]{20,}\b/ },
  { kind: 'npm token', shape: /\bnpm_[A-Za-z0-9]{36}\b/ },
  { kind: 'JSON web token', shape: /\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}/ },
  { kind: 'password in an address', shape: /\b[a-z][a-z0-9+.-]{1,20}:\/\/[^\s/:@]{1,64}:[^\s/:@]{3,64}@[\w.-]+/i },
];

/** `api_key = "…"` and the like: what stands there is a secret only where it looks drawn at random. */
const NAMED =
  /\b(?:api|access|auth|secret|private|client)[_-]?(?:key|token|secret)\b["']?\s*[:=]\s*["']?([A-Za-z0-9+/_=-]{20,})/i;
/** Bits a character; English words have about 3, base64 drawn at random nears 5 at this length. */
const RANDOM_BITS = 3.7;

// No repetition within a repetition: the time stays linear in the text.
const EMAIL = /[\w.+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,4}\.[A-Za-z]{2,24}\b/g;
/** Reserved for examples (RFC 2606, RFC 6761). */
const EXAMPLE = /@(?:[\w-]+\.)*(?:example\.(?:com|org|net)|[\w-]+\.(?:example|invalid|test|localhost))$/i;

export function findSecret(text: string): Match | undefined {
  for (const { kind, shape } of SHAPES) {
    const found = shape.exec(text)?.[0];
    if (found !== undefined) return { kind, shown: masked(found) };
  }
  const named = NAMED.exec(text)?.[1];
  if (named !== undefined && entropy(named) >= RANDOM_BITS && /\d/.test(named) && /[a-z]/i.test(named)) {
    return { kind: 'key', shown: masked(named) };
  }
  return undefined;
}

export function findEmail(text: string): string | undefined {
  if (!text.includes('@')) return undefined;
  for (const [address] of text.matchAll(EMAIL)) if (!EXAMPLE.test(address)) return address;
  return undefined;
}

/** Shannon's, in bits a character. */
function entropy(text: string): number {
  const counts = new Map<string, number>();
  for (const char of text) counts.set(char, (counts.get(char) ?? 0) + 1);
  let bits = 0;
  for (const count of counts.values()) bits -= (count / text.length) * Math.log2(count / text.length);
  return bits;
}

function masked(secret: string): string {
  return secret.startsWith('-----') ? secret : `${secret.slice(0, 6)}…`;
}
