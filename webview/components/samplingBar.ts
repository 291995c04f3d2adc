/** How texts are generated: the names are Hugging Face's, as in a recipe. */
import type { Sampling } from '@protocol/panels';
import * as l10n from '@vscode/l10n';
import { html, type TemplateResult } from 'lit';
import { checkbox, numberField } from './controls';

export function samplingBar(sampling: Sampling, onChange: (part: Partial<Sampling>) => void): TemplateResult {
  const drawn = sampling.do_sample;
  const field = (
    key: Exclude<keyof Sampling, 'do_sample'>,
    label: string,
    title: string,
    limits: { min: number; max?: number; whole?: boolean },
    disabled = false,
  ) =>
    numberField({
      label,
      title,
      value: sampling[key],
      ...limits,
      disabled,
      onChange: (value) => onChange({ [key]: value }),
    });
  const whole = { whole: true };
  return html`<div class="sampling" role="group" aria-label=${l10n.t('How texts are written')}>
    ${checkbox(
      l10n.t('Sample'),
      drawn,
      (do_sample) => onChange({ do_sample }),
      l10n.t('Draw tokens at random; otherwise always take the likeliest'),
    )}
    ${field('temperature', l10n.t('Temperature'), l10n.t('Below 1 sharper, above 1 wilder'), { min: 0.01 }, !drawn)}
    ${field('top_k', l10n.t('Top-k'), l10n.t('Draw only from the k likeliest tokens; 0: from all'), { min: 0, ...whole }, !drawn)}
    ${field('top_p', l10n.t('Top-p'), l10n.t('Draw only from the likeliest tokens that make up this share'), { min: 0.01, max: 1 }, !drawn)}
    ${field('seed', l10n.t('Seed'), l10n.t('The same seed draws the same text'), { min: 0, ...whole }, !drawn)}
    ${field('num_beams', l10n.t('Beams'), l10n.t('Beams of the beam search; 1: none'), { min: 1, ...whole })}
    ${field('no_repeat_ngram_size', l10n.t('No repeat'), l10n.t('No n-gram of this size comes twice; 0: no such rule'), { min: 0, ...whole })}
    ${field('max_new_tokens', l10n.t('Length'), l10n.t('Tokens to write at most'), { min: 1, ...whole })}
  </div>`;
}
