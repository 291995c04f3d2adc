/** The models that a run lends to a comparison: the one it began with, its checkpoints, and what came of it. */
import type { CompareModel, Sampling } from '@protocol/panels';
import * as l10n from '@vscode/l10n';
import type { Runner } from '../runner/runner';
import { runName } from '../runs/describe';
import { DEFAULT_SAMPLING } from './compareModel';

export interface RunModels {
  base?: CompareModel;
  checkpoints: CompareModel[];
  final?: CompareModel;
  /** The recipe's prompts and way of generating. */
  prompts: string[];
  sampling: Partial<Sampling>;
  /** Path or URI of the recipe on the person's machine. */
  recipe?: string;
}

/** @throws TuneyardError `run_not_found`, `connection_lost`, `cancelled` */
export async function modelsOfRun({ host, peer }: Runner, run: string, signal?: AbortSignal): Promise<RunModels> {
  const [files, { recipe, source }] = await Promise.all([
    peer.request('runs/files', { run }, signal),
    peer.request('runs/recipe', { run }, signal),
  ]);
  const model = (kind: CompareModel['kind'], path: string, label: string, more: Partial<CompareModel> = {}) => ({
    id: `${host.id} ${path}`,
    host: host.id,
    hostLabel: host.label,
    path,
    kind,
    run,
    label,
    ...more,
  });
  const generation = record(recipe.generation);
  const prompts = Array.isArray(generation.prompts) ? generation.prompts.filter((one) => typeof one === 'string') : [];
  const base = typeof recipe.model === 'string' ? recipe.model : undefined;
  return {
    ...(base !== undefined && {
      base: model('base', base, l10n.t('base · {0}', modelName(source?.sent?.[base] ?? base))),
    }),
    checkpoints: files.checkpoints.map(({ step, path, best }) =>
      model('checkpoint', path, l10n.t('{0} · step {1}', runName(run), step), { step, best }),
    ),
    ...(files.model_path !== undefined && {
      final: model('final', files.model_path, l10n.t('{0} · final', runName(run))),
    }),
    prompts,
    sampling: samplingOf(generation),
    ...(source?.recipe_path !== undefined && { recipe: source.recipe_path }),
  };
}

/** What to show beside the base when nothing else was said. */
export function tunedModel({ final, checkpoints }: RunModels): CompareModel | undefined {
  return final ?? checkpoints.find(({ best }) => best) ?? newest(checkpoints);
}

const newest = (checkpoints: readonly CompareModel[]) =>
  checkpoints.reduce<CompareModel | undefined>(
    (last, one) => ((one.step ?? 0) >= (last?.step ?? 0) ? one : last),
    undefined,
  );

/** Values of the kinds that sampling has; a recipe may hold anything. */
function samplingOf(generation: Record<string, unknown>): Partial<Sampling> {
  const known = Object.entries(DEFAULT_SAMPLING).filter(([key, value]) => typeof generation[key] === typeof value);
  return Object.fromEntries(known.map(([key]) => [key, generation[key]])) as Partial<Sampling>;
}

const record = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};

/** The folder's name, and the one above it where it says nothing. */
function modelName(path: string): string {
  const parts = path.split(/[/\\]/).filter((part) => part !== '');
  return parts.at(-1) === 'model' ? parts.slice(-2).join('/') : (parts.at(-1) ?? path);
}
