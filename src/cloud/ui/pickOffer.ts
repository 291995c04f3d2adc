/** The question which machine: what can be had first, by price; what cannot says why, and where that is changed. */
import type { MachineOffer } from '@protocol/cloud';
import * as l10n from '@vscode/l10n';
import * as vscode from 'vscode';
import { BACK, type Choice, heading, pickStep } from '../../recipes/pickStep';
import { groupOffers, offerText } from './offerChoices';

interface Ask {
  title: string;
  step: number;
  totalSteps: number;
  /** Of GPU memory, where that is known. */
  neededBytes: number | undefined;
}

export async function pickOffer(
  offers: readonly MachineOffer[],
  { neededBytes, ...step }: Ask,
): Promise<MachineOffer | typeof BACK | undefined> {
  const { usable, spot, elsewhere, outOfQuota, tooSmall } = groupOffers(offers);
  const choices = (name: string, icon: string, group: readonly MachineOffer[]): Choice<MachineOffer>[] => {
    if (group.length === 0) return [];
    const items = group.map((value) => {
      const { label, ...rest } = offerText(value, neededBytes);
      return { label: `$(${icon}) ${label}`, ...rest, value };
    });
    return [heading<MachineOffer>(name), ...items];
  };
  const items = [
    ...choices(l10n.t('On demand'), 'server', usable),
    ...choices(l10n.t('Spot: cheaper, and Google may take it away at any time'), 'zap', spot),
    ...choices(l10n.t('Not within the quota yet'), 'lock', outOfQuota),
    ...choices(l10n.t('Not enough GPU memory'), 'warning', tooSmall),
    ...choices(l10n.t('The same in other regions'), 'globe', elsewhere),
  ];
  const placeholder =
    items.length === 0
      ? l10n.t('Google offers no machine with GPUs in the regions of the settings.')
      : l10n.t('Which machine? Prices are of an hour, with disk and address.');
  for (;;) {
    const chosen = await pickStep<MachineOffer>({ ...step, canGoBack: true, placeholder, items });
    if (chosen === undefined || chosen === BACK || !chosen.quota) return chosen;
    await explainQuota(chosen.quota);
  }
}

async function explainQuota({
  metric,
  region,
  limit,
  usage,
  needed,
  url,
}: NonNullable<MachineOffer['quota']>): Promise<void> {
  const open = l10n.t('Open the quota page');
  const chosen = await vscode.window.showWarningMessage(
    l10n.t('The quota {0} does not allow this machine yet.', metric),
    {
      modal: true,
      detail: l10n.t(
        '{0} allows {1}; {2} are in use, and this machine needs {3}. Ask Google for more on the quota page; new projects begin with 0, and an answer takes minutes to days.',
        `${metric} (${region})`,
        limit,
        usage,
        needed,
      ),
    },
    open,
  );
  if (chosen === open) await vscode.env.openExternal(vscode.Uri.parse(url));
}
