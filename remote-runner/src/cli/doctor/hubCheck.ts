/** Whether models can be fetched. */
import type { Check } from '@protocol/runner';

const TIMEOUT_MS = 10_000;

export async function* hubCheck(): AsyncGenerator<Check> {
  const name = 'Hub';
  const endpoint = process.env.HF_ENDPOINT || 'https://huggingface.co';
  const token = process.env.HF_TOKEN ? 'with HF_TOKEN' : 'without a token';
  try {
    // Any answer will do, also a refusal: the hub is there.
    await fetch(endpoint, { method: 'HEAD', signal: AbortSignal.timeout(TIMEOUT_MS) });
    yield { name, status: 'ok', detail: `${endpoint} answers (${token})` };
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    yield {
      name,
      status: 'warning',
      detail: `${endpoint} cannot be reached: ${cause instanceof Error ? cause.message : String(cause)}`,
      remedy: 'Use a model folder, or set HF_ENDPOINT to a hub or mirror that this machine can reach.',
    };
  }
}
