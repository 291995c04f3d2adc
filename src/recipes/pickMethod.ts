/** The question how to train. Those that most people want, one recommended, with why; the schema knows more. */
import * as l10n from '@vscode/l10n';
import { type BACK, type Choice, pickStep } from './pickStep';

export const DEFAULT_METHOD = 'full';

export function pickMethod(step: {
  title: string;
  step: number;
  totalSteps: number;
  canGoBack?: boolean;
}): Promise<string | typeof BACK | undefined> {
  const items: Choice<string>[] = [
    {
      label: `$(layers) ${l10n.t('Full fine-tuning')}`,
      description: l10n.t('recommended'),
      detail: l10n.t('Changes every weight: learns most, and small models have the room for it'),
      value: DEFAULT_METHOD,
    },
    {
      label: `$(extensions) ${l10n.t('Adapter (LoRA)')}`,
      detail: l10n.t('Trains a small part beside the weights: large models in little memory, saved as a few megabytes'),
      value: 'lora',
    },
    {
      label: `$(archive) ${l10n.t('Adapter beside 4-bit weights (QLoRA)')}`,
      detail: l10n.t('The same, with the other weights in an eighth of their memory: for models that would not fit'),
      value: 'qlora',
    },
  ];
  return pickStep({ ...step, placeholder: l10n.t('How shall it learn?'), items });
}
