/** The same prompts through several models, one in memory at a time. */
import type { CompareReport } from '@protocol/compare';
import { openEngine } from '../engine/openEngine';
import { compareTexts } from '../generate/compare';
import { evaluateModel, readHeldOut } from './evaluateModel';
import { locateModel, openForDecoding } from './openForDecoding';
import type { CompareRequest } from './requests';

/**
 * A model's label is what it was named by. With a recipe, each model's perplexity is that of its held-out samples.
 * @throws TuneyardError what `locateModel`, `openEngine`, `openForDecoding`, `compareTexts` and `evaluateModel` throw
 */
export async function compareJob(request: CompareRequest): Promise<CompareReport> {
  const { models, baseDir, prompts, generation, recipe, signal, onProgress, onText, onCell } = request;
  // A name that leads nowhere shows before the first model has been at work for minutes.
  const located = await Promise.all(models.map((named) => locateModel(named, baseDir, signal)));
  const engine = await openEngine(request.device);
  let nothingHeldOut = false;
  const report = await compareTexts({
    models: located.map((model, i) => ({
      label: models[i]!,
      ...(model.step !== undefined && { step: model.step }),
      open: async () => {
        const opened = await openForDecoding(model, { baseDir, engine, signal });
        if (!recipe) return opened;
        const { parameters } = opened;
        const { batches } = await readHeldOut(recipe, opened, { signal });
        if (batches.length === 0) {
          nothingHeldOut = true;
          return opened;
        }
        const perplexity = async (signal: AbortSignal | undefined) =>
          (await evaluateModel({ engine, model: opened.model, parameters, batches, signal })).perplexity;
        return { ...opened, perplexity };
      },
    })),
    prompts,
    options: generation,
    signal,
    onProgress: ({ label, done, total }) => onProgress?.(label, done, total),
    onText,
    onCell,
  });
  if (nothingHeldOut)
    report.warnings.push('The recipe holds no samples out for evaluation, so there is no perplexity.');
  return report;
}
