/** What Google's refusals mean, and what to do about each: one sentence, with its page or command. */
import { type ErrorCode, TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';
import { LOGIN } from './credentials';
import { type Fault, isPassing } from './faults';
import { billingPage, enablePage, quotaPage } from './pages';

/** What was being done. */
export interface Doing {
  project: string;
  zone?: string;
  machineType?: string;
  diskType?: string;
  account?: string;
  /** Default: Compute Engine. */
  service?: string;
}

interface Remedy {
  what: string;
  data?: Record<string, unknown>;
}

interface Rule {
  code: ErrorCode;
  /** Google's words for it; any of them. */
  reasons?: string[];
  http?: number;
  when?(fault: Fault): boolean;
  /** In its message; its groups are handed on. */
  message?: RegExp;
  say(doing: Doing, fault: Fault, found: Record<string, string | undefined>): Remedy;
}

export function cloudError(fault: Fault, doing: Doing): TuneyardError {
  for (const rule of RULES) {
    const found = matches(rule, fault);
    if (!found) continue;
    const { what, data } = rule.say(doing, fault, found);
    return new TuneyardError(rule.code, what, { data: { ...common(fault, doing), ...data } });
  }
  const text = isPassing(fault)
    ? l10n.t('Google Compute Engine does not manage this at the moment: {0} Try again later.', sentence(fault.message))
    : l10n.t('Google Compute Engine refuses this: {0}', sentence(fault.message));
  const code = fault.http === 400 ? 'cloud_invalid' : 'cloud_failed';
  return new TuneyardError(code, text, { data: { ...common(fault, doing), passing: isPassing(fault) } });
}

function common({ http, reasons }: Fault, { project, zone }: Doing): Record<string, unknown> {
  return { project, ...(zone ? { zone } : {}), ...(http ? { http } : {}), google: reasons };
}

/** All that a rule names must be there: of the reasons, one. */
function matches(rule: Rule, fault: Fault): Record<string, string | undefined> | undefined {
  if (rule.reasons && !rule.reasons.some((reason) => fault.reasons.includes(reason))) return undefined;
  if (rule.http !== undefined && rule.http !== fault.http) return undefined;
  if (rule.when && !rule.when(fault)) return undefined;
  const found = rule.message?.exec(fault.message);
  if (rule.message && !found) return undefined;
  return { ...found?.groups };
}

const RULES: Rule[] = [
  {
    code: 'cancelled',
    when: ({ lost }) => lost === 'cancelled',
    say: () => ({ what: l10n.t('Cancelled.') }),
  },
  {
    code: 'cloud_credentials',
    // invalid_grant, invalid_rapt, invalid_client, unauthorized_client: whichever, they are good no more.
    when: ({ token, http }) => token === true && http !== undefined && http < 500 && http !== 429,
    say: () => ({
      what: l10n.t('The credentials for Google Cloud have expired or were revoked: run "{0}" in a terminal.', LOGIN),
      data: { reason: 'expired', command: LOGIN },
    }),
  },
  {
    code: 'timed_out',
    when: ({ lost }) => lost === 'timeout',
    say: () => ({ what: l10n.t('Google Compute Engine did not answer in time: try again.') }),
  },
  {
    code: 'cloud_failed',
    when: ({ lost }) => lost === 'connection',
    say: () => ({
      what: l10n.t('Google Compute Engine cannot be reached: check the network connection, then try again.'),
      data: { reason: 'unreachable' },
    }),
  },
  {
    code: 'cloud_stockout',
    reasons: ['ZONE_RESOURCE_POOL_EXHAUSTED', 'ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS', 'STOCKOUT'],
    say: ({ zone, machineType }) => outOfStock(zone, machineType),
  },
  {
    code: 'cloud_stockout',
    message: /does not have enough resources available to fulfill the request|resource pool exhausted/i,
    say: ({ zone, machineType }) => outOfStock(zone, machineType),
  },
  {
    code: 'cloud_quota',
    reasons: ['QUOTA_EXCEEDED', 'quotaExceeded'],
    message:
      /Quota '(?<metric>[A-Z0-9_]+)' exceeded\.\s*Limit: (?<limit>[\d.]+)(?: (?:in region (?<region>[\w-]+)|globally))?/,
    say: ({ project }, _, { metric = '', limit, region }) => overQuota(project, metric, Number(limit), region),
  },
  {
    code: 'cloud_quota',
    reasons: ['QUOTA_EXCEEDED', 'quotaExceeded'],
    say: ({ project }, { message }) => ({
      what: l10n.t(
        'A quota of project {0} is used up: {1} Ask for more at {2}',
        project,
        sentence(message),
        quotaPage(project),
      ),
      data: { url: quotaPage(project) },
    }),
  },
  {
    code: 'cloud_failed',
    reasons: ['rateLimitExceeded', 'userRateLimitExceeded', 'RATE_LIMIT_EXCEEDED'],
    say: rateLimited,
  },
  { code: 'cloud_failed', http: 429, say: rateLimited },
  {
    code: 'cloud_permission',
    reasons: ['accessNotConfigured', 'SERVICE_DISABLED'],
    say: ({ project, service = 'compute.googleapis.com' }) => {
      const command = `gcloud services enable ${service} --project=${project}`;
      const url = enablePage(project, service);
      return {
        what:
          service === 'compute.googleapis.com'
            ? l10n.t(
                'Project {0} does not use Compute Engine yet: enable it at {1} or run "{2}".',
                project,
                url,
                command,
              )
            : l10n.t(
                'Project {0} does not use {1} yet: enable it at {2} or run "{3}".',
                project,
                service,
                url,
                command,
              ),
        data: { reason: 'api_disabled', url, command },
      };
    },
  },
  { code: 'cloud_billing', reasons: ['BILLING_DISABLED', 'billingNotEnabled', 'accountDisabled'], say: noBilling },
  {
    code: 'cloud_billing',
    message:
      /requires billing to be enabled|billing account .*(disabled|closed|not (open|enabled))|billing is disabled|enable billing/i,
    say: noBilling,
  },
  {
    code: 'cloud_permission',
    message: /Constraint (?<constraint>constraints\/[\w.]+) violated/,
    say: ({ project }, _, { constraint = '' }) => ({
      what: constraint.endsWith('vmExternalIpAccess')
        ? l10n.t(
            'A policy of the organization forbids external addresses in project {0}: choose the IAP tunnel.',
            project,
          )
        : l10n.t(
            'A policy of the organization forbids this in project {0} ({1}): ask its administrator.',
            project,
            constraint,
          ),
      data: { reason: 'policy', constraint },
    }),
  },
  {
    code: 'cloud_permission',
    reasons: ['SERVICE_ACCOUNT_ACCESS_DENIED'],
    say: (doing, { message }) => serviceAccount(doing, message),
  },
  {
    code: 'cloud_permission',
    message: /does not have access to service account/,
    say: (doing, { message }) => serviceAccount(doing, message),
  },
  {
    code: 'cloud_permission',
    message: /Required '(?<permission>[\w.]+)' permission/,
    say: (doing, _, { permission = '' }) => forbidden(doing, permission),
  },
  {
    code: 'cloud_permission',
    http: 403,
    say: (doing, { facts, message }) =>
      forbidden(doing, facts.permission ?? /'([\w]+\.[\w]+\.[\w]+)'/.exec(message)?.[1]),
  },
  {
    code: 'cloud_credentials',
    http: 401,
    say: () => ({
      what: l10n.t('Google Cloud does not accept the credentials: run "{0}" in a terminal.', LOGIN),
      data: { reason: 'refused', command: LOGIN },
    }),
  },
  {
    code: 'cloud_invalid',
    message: /projects\/(?<project>[\w.:-]+)\/global\/images\/(?<image>[\w/-]+)/,
    say: (_, __, { project, image }) => ({
      what: l10n.t(
        'There is no image {0} in project {1}: Google retires old ones, choose another.',
        image ?? '',
        project ?? '',
      ),
      data: { reason: 'image' },
    }),
  },
  {
    code: 'cloud_invalid',
    message:
      /(?<disk>(?:pd|hyperdisk)-[a-z-]+|[Dd]isk[ -]?[Tt]ypes?)\b[^.]*(not compatible|cannot be used|not supported|does not support)/,
    say: wrongDisk,
  },
  {
    code: 'cloud_invalid',
    message: /diskTypes\/[\w-]+|does not support disk type|\[(?:pd|hyperdisk)-[a-z-]+\]/,
    say: wrongDisk,
  },
  {
    code: 'cloud_invalid',
    reasons: ['alreadyExists', 'RESOURCE_ALREADY_EXISTS'],
    say: (_, { message }) => taken(message),
  },
  { code: 'cloud_invalid', http: 409, message: /already exists/, say: (_, { message }) => taken(message) },
  {
    code: 'cloud_invalid',
    message: /Max run duration cannot be changed while the instance is running|scheduling.*while.*running/i,
    say: () => ({
      what: l10n.t(
        'Google does not change the time limit of a VM that runs: stop it, set the time, and start it again.',
      ),
      data: { reason: 'running' },
    }),
  },
  {
    code: 'cloud_invalid',
    message: /[Mm]achine type .*does not exist in zone|zones\/[\w-]+\/machineTypes\/[\w-]+'? was not found/,
    say: ({ zone, machineType }) => ({
      what: l10n.t('Zone {0} has no machine type {1}: choose another zone or type.', zone ?? '', machineType ?? ''),
      data: { reason: 'machine_type' },
    }),
  },
  {
    code: 'cloud_invalid',
    http: 404,
    message: /^The resource 'projects\/(?<name>[\w.:-]+)' was not found/,
    say: ({ project }) => ({
      what: l10n.t('There is no project {0}, or these credentials do not see it: check its ID.', project),
      data: { reason: 'project' },
    }),
  },
  {
    code: 'vm_not_found',
    http: 404,
    message: /\/instances\/(?<name>[\w-]+)/,
    say: ({ project, zone }, _, { name }) => ({
      what: l10n.t(
        'There is no VM {0} in zone {1} of project {2}: it may be deleted already.',
        name ?? '',
        zone ?? '',
        project,
      ),
    }),
  },
  {
    code: 'cloud_failed',
    http: 412,
    say: () => ({
      what: l10n.t('Somebody else is changing this VM at the same time: try again.'),
      data: { reason: 'fingerprint' },
    }),
  },
];

function outOfStock(zone = '', machineType = ''): Remedy {
  return {
    what: l10n.t('Zone {0} has no {1} left at the moment: try another zone, or try later.', zone, machineType),
    data: { reason: 'stockout' },
  };
}

function overQuota(project: string, metric: string, limit: number, region = 'global'): Remedy {
  const url = quotaPage(project, metric);
  const what =
    limit === 0
      ? l10n.t(
          'Project {0} may not use any of {1} ({2}), as is usual at first: ask for a quota at {3}',
          project,
          metric,
          region,
          url,
        )
      : l10n.t(
          'Quota {1} of project {0} is used up ({2}, limit {3}): delete a VM, or ask for more at {4}',
          project,
          metric,
          region,
          limit,
          url,
        );
  return { what, data: { reason: 'quota', metric, limit, region, url } };
}

function rateLimited(): Remedy {
  return {
    what: l10n.t('Too many requests were sent to Google Compute Engine: wait a minute, then try again.'),
    data: { reason: 'rate' },
  };
}

function noBilling({ project }: Doing): Remedy {
  const url = billingPage(project);
  return {
    what: l10n.t('Project {0} has no billing account that is open: link one at {1}', project, url),
    data: { url },
  };
}

function serviceAccount({ project, account }: Doing, message: string): Remedy {
  const email = /service account '([^']+)'/.exec(message)?.[1] ?? 'SERVICE_ACCOUNT';
  const command = `gcloud iam service-accounts add-iam-policy-binding ${email} --project=${project} --member=${member(account)} --role=roles/iam.serviceAccountUser`;
  return {
    what: l10n.t(
      'These credentials may not give a VM the service account {0}: choose none, or have "{1}" run.',
      email,
      command,
    ),
    data: { reason: 'service_account', command },
  };
}

function forbidden({ project, account, service }: Doing, permission: string | undefined): Remedy {
  const role = permission?.startsWith('iap.')
    ? 'roles/iap.tunnelResourceAccessor'
    : service === 'oslogin.googleapis.com'
      ? OS_LOGIN_ROLE
      : 'roles/compute.instanceAdmin.v1';
  const command = bindingCommand(project, account, role);
  return {
    what: permission
      ? l10n.t(
          'These credentials lack the permission {0} in project {1}: have "{2}" run.',
          permission,
          project,
          command,
        )
      : l10n.t('These credentials may not do this in project {0}: have "{1}" run.', project, command),
    data: { reason: 'forbidden', role, command, ...(permission ? { permission } : {}) },
  };
}

/** Lets an account log in to VMs of a project. */
export const OS_LOGIN_ROLE = 'roles/compute.osLogin';

export const bindingCommand = (project: string, account: string | undefined, role: string): string =>
  `gcloud projects add-iam-policy-binding ${project} --member=${member(account)} --role=${role}`;

function member(account = 'user:EMAIL'): string {
  if (account.includes(':')) return account;
  return `${account.endsWith('.gserviceaccount.com') ? 'serviceAccount' : 'user'}:${account}`;
}

function wrongDisk({ diskType = '', machineType = '' }: Doing): Remedy {
  return {
    what: l10n.t(
      'Machine type {0} takes no disk of type {1}: choose another, such as pd-balanced.',
      machineType,
      diskType,
    ),
    data: { reason: 'disk_type' },
  };
}

function taken(message: string): Remedy {
  const name = /\/([\w-]+)' already exists/.exec(message)?.[1] ?? '';
  return { what: l10n.t('The name {0} is taken in this project: choose another.', name), data: { reason: 'exists' } };
}

/** With a full stop, for another sentence may follow. */
const sentence = (text: string): string => (/[.!?:]$/.test(text.trim()) ? text.trim() : `${text.trim()}.`);
