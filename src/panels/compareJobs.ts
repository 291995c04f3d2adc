/** Which commands of the runner write which texts. */
import type { CompareModel, ComparePrompt, Sampling } from '@protocol/panels';

/** One `compare` on one host: all of its prompts through all of its models. */
export interface CompareJob {
  host: string;
  models: CompareModel[];
  prompts: ComparePrompt[];
}

/** `wanted`: whether the text of this prompt and model is to be written. Models that want the same prompts share a job. */
export function planJobs(
  models: readonly CompareModel[],
  prompts: readonly ComparePrompt[],
  wanted: (prompt: string, model: string) => boolean,
): CompareJob[] {
  const jobs = new Map<string, CompareJob>();
  for (const model of models) {
    const own = prompts.filter((prompt) => wanted(prompt.id, model.id));
    if (own.length === 0) continue;
    const key = JSON.stringify([model.host, own.map(({ id }) => id)]);
    const job = jobs.get(key);
    if (job) job.models.push(model);
    else jobs.set(key, { host: model.host, models: [model], prompts: own });
  }
  return [...jobs.values()];
}

/** The command line of a job. A prompt may begin with anything; models are absolute paths or names on the hub. */
export function jobArguments({ models, prompts }: CompareJob, sampling: Sampling): string[] {
  return [
    'compare',
    ...prompts.map(({ text }) => `--prompt=${text}`),
    ...Object.entries(sampling).map(([key, value]) => `--set=generation.${key}=${value}`),
    ...models.map(({ path }) => path),
  ];
}

/** What a text depends on: it is stale once this differs. Without sampling nothing is drawn, so it needs no seed. */
export function madeWith(prompt: string, sampling: Sampling): string {
  const { do_sample, temperature, top_k, top_p, seed, ...always } = sampling;
  return JSON.stringify([prompt, always, do_sample && { temperature, top_k, top_p, seed }]);
}
