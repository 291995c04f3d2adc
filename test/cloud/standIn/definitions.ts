/**
 * Google's own definitions of requests and messages, from the library's package: which path belongs to which method, which
 * fields a message has, and of which type. What is sent is held against them field by field.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

interface Field {
  type: string;
  rule?: 'repeated';
  keyType?: string;
  options?: Record<string, unknown>;
}

interface Message {
  fields?: Record<string, Field>;
  methods?: Record<string, { requestType: string; options: Record<string, string> }>;
  values?: Record<string, number>;
  nested?: Record<string, Message>;
}

/** The methods that the product uses: whatever else is asked for is not there. */
const METHODS = {
  AcceleratorTypes: ['AggregatedList'],
  Addresses: ['AggregatedList'],
  Disks: ['AggregatedList', 'CreateSnapshot', 'Delete', 'Get', 'List'],
  GlobalOperations: ['Get', 'Wait'],
  Images: ['GetFromFamily'],
  Instances: [
    'AggregatedList',
    'Delete',
    'Get',
    'GetGuestAttributes',
    'GetSerialPortOutput',
    'Insert',
    'List',
    'SetLabels',
    'SetMetadata',
    'SetScheduling',
    'Start',
    'Stop',
  ],
  MachineTypes: ['AggregatedList', 'Get', 'List'],
  Projects: ['Get'],
  Regions: ['Get', 'List'],
  Snapshots: ['Delete', 'Get', 'List'],
  ZoneOperations: ['Get', 'List', 'Wait'],
  Zones: ['Get', 'List'],
} as const;

export interface Route {
  /** `instances.insert`. */
  name: string;
  verb: string;
  pattern: RegExp;
  /** Names of the pattern's groups. */
  parameters: string[];
  request: Message;
  /** The field of the request that the body is. */
  body?: string;
}

const camel = (name: string) => name.replaceAll(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
const types = loadTypes();
export const ROUTES: readonly Route[] = Object.entries(METHODS).flatMap(([service, methods]) =>
  methods.map((method) => routeOf(service, method)),
);

function loadTypes(): Record<string, Message> {
  const require = createRequire(import.meta.url);
  const file = join(dirname(require.resolve('@google-cloud/compute')), '../protos/protos.json');
  let at = JSON.parse(readFileSync(file, 'utf8')) as Message;
  for (const name of ['google', 'cloud', 'compute', 'v1']) at = at.nested![name]!;
  return at.nested!;
}

function routeOf(service: string, method: string): Route {
  const { requestType, options } = types[service]!.methods![method]!;
  const [verb, path] = ['get', 'post', 'delete', 'put', 'patch'].flatMap((one) => {
    const found = options[`(google.api.http).${one}`];
    return found ? [one.toUpperCase(), found] : [];
  }) as [string, string];
  const parameters: string[] = [];
  const pattern = path.replaceAll(/\{(\w+)\}/g, (_, name: string) => {
    parameters.push(camel(name));
    return '([^/]+)';
  });
  const body = options['(google.api.http).body'];
  const lower = (name: string) => name.charAt(0).toLowerCase() + name.slice(1);
  return {
    name: `${lower(service)}.${lower(method)}`,
    verb,
    pattern: new RegExp(`^${pattern}$`),
    parameters,
    request: types[requestType]!,
    ...(body && { body: camel(body) }),
  };
}

/** What is wrong with the parameters behind `?`; undefined: nothing. */
export function faultOfQuery(route: Route, query: URLSearchParams): string | undefined {
  for (const [name, value] of query) {
    if (name.startsWith('$') || name === 'alt') continue;
    const field = route.request.fields?.[name];
    if (!field || route.parameters.includes(name) || name === route.body) {
      return `Invalid JSON payload received. Unknown name "${name}": Cannot bind query parameter. Field '${name}' could not be found in request message.`;
    }
    const isRight =
      field.type === 'bool'
        ? /^(true|false)$/.test(value)
        : /int/.test(field.type)
          ? /^-?\d+$/.test(value)
          : field.type === 'string';
    if (!isRight) return `Invalid value at '${name}' (${field.type.toUpperCase()}), "${value}"`;
  }
  for (const [name, field] of Object.entries(route.request.fields ?? {})) {
    const required = field.options?.['(google.api.field_behavior)'] === 'REQUIRED';
    if (required && name !== route.body && !route.parameters.includes(name) && !query.has(name)) {
      return `Required field '${name}' not specified`;
    }
  }
  return undefined;
}

/** What is wrong with a body; undefined: nothing. */
export function faultOfBody(route: Route, body: unknown): string | undefined {
  // The library sends an empty one where a method takes none.
  const isEmpty = !body || Object.keys(body).length === 0;
  if (!route.body) return isEmpty ? undefined : 'This method takes no body.';
  const field = route.request.fields![route.body]!;
  return faultOfMessage(types[field.type]!, body, '');
}

function faultOfMessage(message: Message, value: unknown, at: string): string | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return `Invalid value at '${at || 'resource'}': an object is expected`;
  }
  for (const [name, given] of Object.entries(value)) {
    const field = message.fields?.[name];
    const place = at ? `${at}.${name}` : name;
    if (!field) {
      return `Invalid JSON payload received. Unknown name "${name}"${at ? ` at '${at}'` : ''}: Cannot find field.`;
    }
    const fault = faultOfField(message, name, field, given, place);
    if (fault) return fault;
  }
  return undefined;
}

function faultOfField(message: Message, name: string, field: Field, given: unknown, at: string): string | undefined {
  const one = (value: unknown, place: string) => faultOfValue(message, name, field, value, place);
  if (field.keyType) {
    if (typeof given !== 'object' || given === null || Array.isArray(given)) return `Invalid value at '${at}' (map)`;
    return firstOf(Object.entries(given), ([key, value]) => one(value, `${at}.${key}`));
  }
  if (field.rule === 'repeated') {
    if (!Array.isArray(given)) return `Invalid value at '${at}' (repeated)`;
    return firstOf([...given.entries()], ([i, value]) => one(value, `${at}[${i}]`));
  }
  return one(given, at);
}

function faultOfValue(message: Message, name: string, field: Field, value: unknown, at: string): string | undefined {
  const shown = JSON.stringify(value);
  const wrong = `Invalid value at '${at}' (${field.type.toUpperCase()}), ${shown}`;
  switch (field.type) {
    case 'string': {
      if (typeof value !== 'string') return wrong;
      // Google's enums are strings in this interface; their values are beside the field.
      const values = message.nested?.[name.charAt(0).toUpperCase() + name.slice(1)]?.values;
      if (values && !Object.hasOwn(values, value)) return `Invalid value for field '${at}': '${value}'.`;
      return undefined;
    }
    case 'bool':
      return typeof value === 'boolean' ? undefined : wrong;
    case 'int32':
    case 'uint32':
      return Number.isInteger(value) && Math.abs(value as number) < 2 ** 32 ? undefined : wrong;
    case 'int64':
    case 'uint64':
      return Number.isSafeInteger(value) || (typeof value === 'string' && /^-?\d+$/.test(value)) ? undefined : wrong;
    case 'double':
    case 'float':
      return typeof value === 'number' ? undefined : wrong;
    default: {
      const type = types[field.type] ?? message.nested?.[field.type];
      if (!type) return wrong;
      return type.values
        ? Object.hasOwn(type.values, String(value))
          ? undefined
          : wrong
        : faultOfMessage(type, value, at);
    }
  }
}

function firstOf<Item>(items: Item[], fault: (item: Item) => string | undefined): string | undefined {
  for (const item of items) {
    const found = fault(item);
    if (found) return found;
  }
  return undefined;
}
