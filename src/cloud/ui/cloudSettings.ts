/** What the settings say of Google Compute Engine. */
import type { ArtifactSafety, CreateVm } from '@protocol/cloud';
import { TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';
import * as vscode from 'vscode';

const read = <T>(key: string): T | undefined => vscode.workspace.getConfiguration('tuneyard').get<T>(key);
const text = (key: string): string => (read<string>(key) ?? '').trim();

/** The project that is proposed; empty: that of the credentials. */
export const configuredProject = (): string => text('gce.project');

/** Only these regions; empty: all. */
export const configuredRegions = (): string[] => read<string[]>('gce.regions') ?? [];

const configuredKeyFile = (): string => text('gce.serviceAccountFile');

/** Kept where no folder that is opened can change it: what is there is sent credentials. */
export async function chooseKeyFile(): Promise<boolean> {
  const [file] =
    (await vscode.window.showOpenDialog({
      title: l10n.t('Key file of a service account'),
      filters: { JSON: ['json'] },
      openLabel: l10n.t('Use this key'),
    })) ?? [];
  if (!file) return false;
  const settings = vscode.workspace.getConfiguration('tuneyard');
  await settings.update('gce.serviceAccountFile', file.fsPath, vscode.ConfigurationTarget.Global);
  return true;
}

/** For the program that speaks to the cloud; what is empty is not set. */
export function cloudEnvironment(): Record<string, string> {
  const prices = read<object>('gce.prices') ?? {};
  const all = {
    TUNEYARD_GCE_ENDPOINT: text('gce.endpoint'),
    TUNEYARD_GCE_CREDENTIALS: configuredKeyFile(),
    TUNEYARD_GCE_PRICES: Object.keys(prices).length > 0 ? JSON.stringify(prices) : '',
    TUNEYARD_NODE_MIRROR: text('nodeMirror'),
    TUNEYARD_NPM_REGISTRY: text('npmRegistry'),
    TUNEYARD_NUGET: text('nugetFeed'),
    // Its sentences are shown as they come.
    TUNEYARD_L10N: vscode.l10n.uri?.fsPath ?? '',
  };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== ''));
}

export type VmDefaults = Pick<
  CreateVm,
  'disk_gb' | 'artifacts' | 'service_account' | 'network' | 'subnetwork' | 'address' | 'idle_action'
> & { idle_minutes: number };

export function vmDefaults(): VmDefaults {
  const network = text('gce.network');
  const subnetwork = text('gce.subnetwork');
  return {
    disk_gb: read<number>('gce.diskSizeGb') ?? 200,
    idle_minutes: read<number>('gce.idleMinutes') ?? 30,
    idle_action: text('gce.idleAction') === 'stop' ? 'stop' : 'delete',
    artifacts: artifactSafety(text('gce.artifacts')),
    service_account: text('gce.serviceAccount') || 'none',
    address: text('gce.address') === 'iap' ? 'iap' : 'external',
    ...(network && { network }),
    ...(subnetwork && { subnetwork }),
  };
}

/** @throws TuneyardError `usage` */
function artifactSafety(setting: string): ArtifactSafety {
  if (setting === '' || setting === 'fetch') return { kind: 'fetch' };
  if (setting === 'snapshot') return { kind: 'snapshot' };
  const bucket = /^gs:\/\/([a-z0-9][a-z0-9._-]+)\/?$/.exec(setting)?.[1];
  if (bucket) return { kind: 'bucket', bucket };
  throw new TuneyardError(
    'usage',
    l10n.t('The setting tuneyard.gce.artifacts is "{0}": it takes fetch, snapshot or gs://BUCKET.', setting),
  );
}
