/** A comparison for other programs (JSON) and other people (Markdown). */
import type { CompareCell } from '@protocol/compare';
import type { CompareModel, CompareState, Sampling } from '@protocol/panels';
import * as l10n from '@vscode/l10n';

interface SavedComparison {
  sampling: Sampling;
  prompts: string[];
  models: (Pick<CompareModel, 'label' | 'kind' | 'path' | 'run' | 'step'> & { host: string; weights?: string })[];
  /** `cells[prompt][model]`; null where nothing was written. */
  cells: ((CompareCell & { stale?: true }) | null)[][];
}

export function compareJson(state: CompareState): string {
  const saved: SavedComparison = {
    sampling: state.sampling,
    prompts: state.prompts.map(({ text }) => text),
    models: state.models.map(({ id, label, kind, path, run, step, hostLabel }) => ({
      label,
      kind,
      path,
      ...(run !== undefined && { run }),
      ...(step !== undefined && { step }),
      host: hostLabel,
      ...weightsOf(state, id),
    })),
    cells: state.prompts.map((prompt) =>
      state.models.map((model) => {
        const text = textOf(state, prompt.id, model.id);
        return text?.cell ? { ...text.cell, ...(text.stale && { stale: true as const }) } : null;
      }),
    ),
  };
  return `${JSON.stringify(saved, null, 2)}\n`;
}

/** A table that GitHub and VS Code draw. */
export function compareMarkdown(state: CompareState): string {
  const { models, prompts } = state;
  const sampling = Object.entries(state.sampling).map(([name, value]) => `${name} ${value}`);
  const lines = [
    row([l10n.t('Prompt'), ...models.map((model) => header(state, model))]),
    row(['---', ...models.map(() => '---')]),
    ...prompts.map(({ id, text }) => row([escaped(text), ...models.map((model) => cell(state, id, model.id))])),
    '',
    sampling.join(', '),
  ];
  return `${lines.join('\n')}\n`;
}

function header(state: CompareState, model: CompareModel): string {
  const { weights } = weightsOf(state, model.id);
  return `${escaped(model.label)}${weights ? `<br>\`${weights}\`` : ''}`;
}

function cell(state: CompareState, prompt: string, model: string): string {
  const text = textOf(state, prompt, model);
  if (!text?.cell) return '–';
  const { metrics, seconds } = text.cell;
  const figures = l10n.t(
    '{0} unique words, distinct-2 {1}, {2} s',
    metrics.unique_words,
    metrics.distinct_2.toFixed(2),
    seconds.toFixed(1),
  );
  return `${escaped(text.cell.text)}<br>*${figures}*${text.stale ? ` (${l10n.t('stale')})` : ''}`;
}

const textOf = (state: CompareState, prompt: string, model: string) =>
  state.texts.find((text) => text.prompt === prompt && text.model === model);

function weightsOf(state: CompareState, model: string): { weights?: string } {
  const weights = state.texts.find((text) => text.model === model && text.cell)?.cell?.weights;
  return weights ? { weights } : {};
}

const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;

/** Nothing that a model writes becomes markup. */
function escaped(text: string): string {
  return text
    .trim()
    .replaceAll(/[\\`*_{}[\]<>#|~&!]/g, (character) => `&#${character.charCodeAt(0)};`)
    .replaceAll(/\r?\n/g, '<br>');
}
