/**
 * The same prompts, options and seed through several models, their texts side by side. Each text is stamped with the
 * hash of the weights that made it, asked of the decoder that computed it: what stands in the base model's column
 * was written by the base model's weights, or the comparison fails.
 */
import type { CompareCell, CompareColumn, CompareReport } from '@protocol/compare';
import { TuneyardError } from '@protocol/errors';
import { breathe } from './decodeRequest';
import type { Decoder } from './decoder';
import { type GenerationOptions, type GenerationTokenizer, type GenerationWarning, generate } from './generate';
import { repeatedNgrams, textMetrics } from './metrics';

/** A model to compare, opened when its turn comes so that only one is in memory at a time. */
export interface ComparedModel {
  /** "base", "step 300", … */
  label: string;
  /** Training step of a checkpoint. */
  step?: number;
  /** Hash that its directory or checkpoint is known by: the decoder must report the same. */
  expectedWeights?: string;
  open(signal: AbortSignal | undefined): Promise<OpenModel>;
}

export interface OpenModel {
  decoder: Decoder;
  tokenizer: GenerationTokenizer;
  eosTokenIds?: readonly number[];
  /** Perplexity on the test split. */
  perplexity?(signal: AbortSignal | undefined): Promise<number>;
  release(): void | Promise<void>;
}

export interface CompareInput {
  models: readonly ComparedModel[];
  prompts: readonly string[];
  options: GenerationOptions;
  signal?: AbortSignal | undefined;
  onProgress?: (progress: CompareProgress) => void;
  /** A piece of a text, as it is written. Beams have none: they may still change their mind. */
  onText?: ((prompt: number, model: number, piece: string) => void) | undefined;
  onCell?: ((prompt: number, model: number, cell: CompareCell) => void) | undefined;
}

/** Said before each model's turn. */
export interface CompareProgress {
  label: string;
  /** Models done, and models in all. */
  done: number;
  total: number;
}

/**
 * @throws TuneyardError `usage` for no model, no prompt or a label given twice; `checkpoint_invalid` where a model's
 *   weights are not the expected ones; and whatever {@link generate} throws
 */
export async function compareTexts(input: CompareInput): Promise<CompareReport> {
  const { models, options, signal } = input;
  checkInput(input);
  const report: CompareReport = {
    prompts: [...input.prompts],
    seed: options.seed,
    models: [],
    cells: input.prompts.map(() => []),
    warnings: [],
  };
  for (const [done, model] of models.entries()) {
    await breathe(signal);
    input.onProgress?.({ label: model.label, done, total: models.length });
    const { column, cells, warnings } = await runModel(model, done, input);
    const twin = report.models.find(({ weights }) => weights === column.weights);
    if (twin) {
      report.warnings.push(`"${twin.label}" and "${column.label}" are the same weights (${column.weights}).`);
    }
    report.warnings.push(...warnings.map(({ message }) => `${model.label}: ${message}`));
    report.models.push(column);
    for (const [prompt, cell] of cells.entries()) report.cells[prompt]!.push(cell);
  }
  return report;
}

async function runModel(
  model: ComparedModel,
  place: number,
  { prompts, options, signal, onText, onCell }: CompareInput,
): Promise<{ column: CompareColumn; cells: CompareCell[]; warnings: GenerationWarning[] }> {
  const opened = await model.open(signal);
  try {
    const { decoder, tokenizer, eosTokenIds } = opened;
    const { weights } = decoder;
    if (model.expectedWeights !== undefined && model.expectedWeights !== weights) {
      throw new TuneyardError(
        'checkpoint_invalid',
        `"${model.label}" should have the weights ${model.expectedWeights}, but those loaded are ${weights}; its files were changed or mixed up, so compare another checkpoint.`,
      );
    }
    const warnings: GenerationWarning[] = [];
    const started = performance.now();
    const texts = await generate({
      decoder,
      tokenizer,
      prompts,
      options,
      ...(eosTokenIds && { eosTokenIds }),
      signal,
      onToken: ({ index, text }) => onText?.(index, place, text),
      onWarning: (warning) => warnings.push(warning),
    });
    const seconds = (performance.now() - started) / 1000;
    const cells = texts.map(({ text, weights, seconds, ids, finishReason }) => ({
      text,
      weights,
      seconds,
      new_tokens: ids.length,
      finish_reason: finishReason,
      metrics: textMetrics(text),
      repeated: repeatedNgrams(text),
    }));
    for (const [prompt, cell] of cells.entries()) onCell?.(prompt, place, cell);
    const perplexity = await opened.perplexity?.(signal);
    if (decoder.weights !== weights || texts.some((text) => text.weights !== weights)) {
      throw new TuneyardError(
        'internal',
        `The weights of "${model.label}" changed while it was compared; compare again when no training runs on it.`,
      );
    }
    return {
      column: {
        label: model.label,
        ...(model.step !== undefined && { step: model.step }),
        weights,
        ...(perplexity !== undefined && { perplexity }),
        metrics: textMetrics(texts.map(({ text }) => text)),
        seconds,
      },
      cells,
      warnings,
    };
  } finally {
    await opened.release();
  }
}

function checkInput({ models, prompts }: CompareInput): void {
  if (models.length === 0) throw new TuneyardError('usage', 'There is no model to compare; name at least one.');
  if (prompts.length === 0) {
    throw new TuneyardError('usage', 'There is no prompt to compare on; give one, or set generation.prompts.');
  }
  const labels = new Set<string>();
  for (const { label } of models) {
    if (labels.has(label))
      throw new TuneyardError('usage', `Two models to compare are called "${label}"; name one anew.`);
    labels.add(label);
  }
}
