/** "Provision GPU VM": project, machine, how long; one question with all figures; then it is made, with its stages. */
import { randomBytes } from 'node:crypto';
import type { CreateVm, MachineOffer } from '@protocol/cloud';
import type { Estimate } from '@protocol/runner';
import * as l10n from '@vscode/l10n';
import * as vscode from 'vscode';
import { neededBytes } from '../../recipes/hostMemory';
import { BACK, type Choice, pickStep } from '../../recipes/pickStep';
import { withProgress } from '../../recipes/withProgress';
import type { Services } from '../../services';
import { formatDuration } from '../../ui/format';
import { expectedSeconds } from '../expectedTime';
import { withCloudHelp } from './cloudHelp';
import { configuredProject, configuredRegions, type VmDefaults, vmDefaults } from './cloudSettings';
import { makeVm } from './makeVm';
import { hourlyCost, zonesToTry } from './offerChoices';
import { orderText } from './orderText';
import { pickOffer } from './pickOffer';
import { formatMoney } from './vmLine';

const TOTAL_STEPS = 4;
const HOUR = 3600;
const TIMES = [1, 4, 12, 24, 72, 168].map((hours) => hours * HOUR);
const DEFAULT_TIME = 12 * HOUR;

interface Wanted {
  /** What the run will need. */
  estimate?: Promise<Estimate | undefined>;
}

/** @returns id of the host that it is; undefined where the person went away, or something went wrong and was said */
export function provisionVm(services: Services, wanted: Wanted = {}): Promise<string | undefined> {
  const again = () => provisionVm(services, wanted);
  return withCloudHelp(
    services,
    async () => {
      const order = await ask(services, wanted);
      return order && makeVm(services, order.create, order.offer);
    },
    again,
  );
}

async function ask(
  services: Services,
  { estimate: estimating }: Wanted,
): Promise<{ create: CreateVm; offer: MachineOffer } | undefined> {
  const title = l10n.t('Provision GPU VM');
  const defaults = vmDefaults();
  for (;;) {
    const project = await pickProject(services, title);
    if (project === undefined || project === BACK) return undefined;
    const estimate = await estimating?.catch(() => undefined);
    const gpuBytes = estimate && neededBytes(estimate, { kind: 'gpu' });
    const offers = await withProgress(l10n.t('Asking Google what there is in {0}', project), (_, signal) =>
      services.cloud.request(
        'cloud/offers',
        {
          project,
          regions: configuredRegions(),
          disk_gb: defaults.disk_gb ?? 200,
          ...(gpuBytes !== undefined && { gpu_memory_bytes: gpuBytes }),
        },
        signal,
      ),
    );
    let offer: MachineOffer | typeof BACK | undefined;
    for (;;) {
      offer = await pickOffer(offers, { title, step: 2, totalSteps: TOTAL_STEPS, neededBytes: gpuBytes });
      if (offer === undefined) return undefined;
      if (offer === BACK) break;
      const expected = estimate && expectedSeconds(estimate, offer.gpu.type);
      const times = await pickTimes(title, offer, defaults, expected);
      if (times === undefined) return undefined;
      if (times === BACK) continue;
      const create = wish(project, offers, offer, defaults, times);
      return (await confirm(create, offer, expected)) ? { create, offer } : undefined;
    }
  }
}

async function pickProject(services: Services, title: string): Promise<string | typeof BACK | undefined> {
  const configured = configuredProject();
  const identity = await withProgress(l10n.t('Looking for credentials'), (_, signal) =>
    services.cloud.request('cloud/identity', {}, signal),
  );
  const used = await services.vms.projects();
  const names = [...new Set([configured, identity.project ?? '', ...used])].filter((name) => name !== '');
  const other: Choice<string> = { label: `$(edit) ${l10n.t('Another project…')}`, value: '' };
  const noteOf = (name: string) => {
    if (name === configured) return l10n.t('from the settings');
    return name === identity.project ? l10n.t('from {0}', identity.source) : l10n.t('used before');
  };
  const who = identity.account ? l10n.t('as {0}', identity.account) : identity.source;
  const chosen = await pickStep<string>({
    title,
    step: 1,
    totalSteps: TOTAL_STEPS,
    placeholder: l10n.t('In which Google Cloud project? ({0})', who),
    items: [...names.map((name) => ({ label: `$(project) ${name}`, description: noteOf(name), value: name })), other],
  });
  if (chosen !== '') return chosen;
  const typed = await vscode.window.showInputBox({
    title,
    prompt: l10n.t('ID of the project'),
    ignoreFocusOut: true,
    validateInput: (value) =>
      value === '' || /^([a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]$/.test(value)
        ? undefined
        : l10n.t('An ID has 6 to 30 lower-case letters, digits and hyphens.'),
  });
  return typed || undefined;
}

interface Times {
  seconds: number;
  idle_minutes: number;
  end_after_last_run: boolean;
}

async function pickTimes(
  title: string,
  offer: MachineOffer,
  defaults: VmDefaults,
  expected: number | undefined,
): Promise<Times | typeof BACK | undefined> {
  const hourly = hourlyCost(offer);
  for (;;) {
    const isDefault = (seconds: number) => seconds === DEFAULT_TIME;
    const times = [...TIMES].sort((a, b) => Number(isDefault(b)) - Number(isDefault(a)));
    const seconds = await pickStep<number>({
      title,
      step: 3,
      totalSteps: TOTAL_STEPS,
      canGoBack: true,
      placeholder: l10n.t('After how long does it end, whatever it does? That can be extended.'),
      items: times.map((time) => ({
        label: formatSpan(time),
        description: [
          hourly !== undefined && l10n.t('{0} in all', formatMoney((hourly * time) / HOUR)),
          expected !== undefined && time < expected && l10n.t('the run may take longer'),
        ]
          .filter((part) => part)
          .join(' · '),
        value: time,
      })),
    });
    if (seconds === undefined || seconds === BACK) return seconds;
    const idle = await pickIdle(title, defaults);
    if (idle === BACK) continue;
    return idle && { seconds, ...idle };
  }
}

function pickIdle(title: string, { idle_minutes: usual, idle_action }: VmDefaults) {
  type Idle = Omit<Times, 'seconds'>;
  const minutes = [usual, ...[15, 30, 60, 120].filter((each) => each !== usual)].filter((each) => each > 0);
  const items: Choice<Idle>[] = minutes.map((each) => ({
    label:
      idle_action === 'stop'
        ? l10n.t('Stop it after {0} idle minutes', each)
        : l10n.t('End it after {0} idle minutes', each),
    description: l10n.t('no run, GPUs under 5%'),
    value: { idle_minutes: each, end_after_last_run: false },
  }));
  items.push(
    {
      label: l10n.t('End it after the last run'),
      description: l10n.t('and after {0} idle minutes', usual || 30),
      value: { idle_minutes: usual || 30, end_after_last_run: true },
    },
    {
      label: l10n.t('Keep it until its time is up'),
      value: { idle_minutes: 0, end_after_last_run: false },
    },
  );
  return pickStep<Idle>({
    title,
    step: 4,
    totalSteps: TOTAL_STEPS,
    canGoBack: true,
    placeholder: l10n.t('And when it has nothing to do? The VM sees to that itself, also while this machine sleeps.'),
    items,
  });
}

function wish(
  project: string,
  offers: readonly MachineOffer[],
  offer: MachineOffer,
  defaults: VmDefaults,
  { seconds, idle_minutes, end_after_last_run }: Times,
): CreateVm {
  return {
    ...defaults,
    project,
    // Named here, so that it can be told from others from its first second.
    name: `tuneyard-${randomBytes(2).toString('hex').slice(0, 3)}`,
    machine_type: offer.machine_type,
    ...(offer.machine_type.startsWith('n1-') && { accelerator: { type: offer.gpu.type, count: offer.gpu.count } }),
    zones: zonesToTry(offers, offer),
    provisioning_model: offer.provisioning_model,
    max_run_seconds: seconds,
    idle_minutes,
    end_after_last_run,
  };
}

async function confirm(create: CreateVm, offer: MachineOffer, expected: number | undefined): Promise<boolean> {
  const { question, detail } = orderText({
    create,
    offer,
    expectedSeconds: expected,
    now: Date.now(),
    span: formatSpan,
  });
  const make = l10n.t('Make it');
  // What comes first is what Enter does.
  const chosen = await vscode.window.showWarningMessage(question, { modal: true, detail }, l10n.t('Not now'), make);
  return chosen === make;
}

/** Whole hours without their minutes. */
function formatSpan(seconds: number): string {
  if (seconds % 86_400 === 0) return seconds === 86_400 ? l10n.t('1 day') : l10n.t('{0} days', seconds / 86_400);
  return seconds % HOUR === 0 ? l10n.t('{0} h', seconds / HOUR) : formatDuration(seconds);
}
