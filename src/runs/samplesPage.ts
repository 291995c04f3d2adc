/** The texts that a run wrote on its way, newest first. */
import type { GenerationEvent } from '@protocol/events';
import * as l10n from '@vscode/l10n';
import { runName } from './describe';

export function samplesPage(run: string, samples: readonly GenerationEvent[]): string {
  if (samples.length === 0) {
    return l10n.t('{0} has written no samples yet; it does where its recipe has generation.prompts.', runName(run));
  }
  const steps = new Map<number, GenerationEvent[]>();
  for (const sample of samples) steps.set(sample.step, [...(steps.get(sample.step) ?? []), sample]);
  const parts = [...steps].reverse().map(([step, texts]) => {
    const title = l10n.t('Step {0} · {1}', step, texts[0]!.weights);
    return [title, '─'.repeat(title.length), ...texts.map(({ prompt, text }) => `» ${prompt}\n${text}\n`)].join('\n');
  });
  return parts.join('\n');
}
