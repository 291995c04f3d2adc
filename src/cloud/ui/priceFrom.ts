/** "from $0.85/h", for the question where a run shall be: asked only where credentials are there and were used before. */
import * as l10n from '@vscode/l10n';
import type { Services } from '../../services';
import { configuredProject, configuredRegions } from './cloudSettings';
import { groupOffers, hourlyCost } from './offerChoices';
import { formatMoney, gpuText } from './vmLine';

/** @returns '' where it cannot be told without a question */
export async function priceFrom(
  { cloud, vms }: Pick<Services, 'cloud' | 'vms'>,
  neededBytes: number | undefined,
  signal: AbortSignal,
): Promise<string> {
  const project = configuredProject() || (await vms.projects())[0];
  // Who has never used it is not to have a program started for it.
  if (!project) return l10n.t('on Google Compute Engine');
  const query = {
    project,
    regions: configuredRegions(),
    ...(neededBytes !== undefined && { gpu_memory_bytes: neededBytes }),
  };
  const { usable } = groupOffers(await cloud.request('cloud/offers', query, signal));
  const best = usable.find(({ price }) => price);
  const cost = best && hourlyCost(best);
  if (!best || cost === undefined) return l10n.t('on Google Compute Engine');
  return l10n.t('{0} from {1}/h', gpuText(best.gpu), formatMoney(cost));
}
