/** A row of one format as a row of another, where nothing is lost by it. */
import type { DatasetFormat } from '@protocol/dataset';

type Values = Record<string, unknown>;

/** What a row says, whatever its format: turns, or one text. */
interface Turn {
  role: string;
  content: string;
}

/** Why a row cannot be had in a format; said with its line. */
export class CannotConvert extends Error {}

const SHAREGPT_ROLES: Record<string, string> = {
  human: 'user',
  user: 'user',
  gpt: 'assistant',
  chatgpt: 'assistant',
  assistant: 'assistant',
  bing: 'assistant',
  bard: 'assistant',
  system: 'system',
};

/**
 * @param text the row as training writes it, for `text`
 * @throws CannotConvert
 */
export function convertRow(values: Values, from: DatasetFormat, to: DatasetFormat, text: () => string): Values {
  if (from === to) return values;
  if (to === 'text') return { text: text() };
  const turns = turnsOf(values, from);
  switch (to) {
    case 'messages':
      return { messages: turns };
    case 'sharegpt':
      return {
        conversations: turns.map(({ role, content }) => ({
          from: role === 'user' ? 'human' : role === 'assistant' ? 'gpt' : role,
          value: content,
        })),
      };
    case 'alpaca': {
      const { system, prompt, completion } = exchange(turns, to);
      if (system !== undefined) throw new CannotConvert('Alpaca has no place for its system message');
      return { instruction: prompt, input: '', output: completion };
    }
    case 'prompt-completion':
    case 'text-target': {
      const { system, prompt, completion } = exchange(turns, to);
      if (system !== undefined) throw new CannotConvert(`"${to}" has no place for its system message`);
      return to === 'text-target' ? { text: prompt, target: completion } : { prompt, completion };
    }
    default:
      throw new CannotConvert(`"${to}" cannot be made from "${from}"`);
  }
}

function turnsOf(values: Values, from: DatasetFormat): Turn[] {
  switch (from) {
    case 'messages':
      return list(values.messages, 'messages').map((one) => turn(one, 'role', 'content', (role) => role));
    case 'sharegpt':
      return list(values.conversations, 'conversations').map((one) =>
        turn(one, 'from', 'value', (role) => SHAREGPT_ROLES[role] ?? role),
      );
    case 'alpaca': {
      const input = values.input === undefined || values.input === null ? '' : string(values.input, 'input');
      const instruction = string(values.instruction, 'instruction');
      return pair(input === '' ? instruction : `${instruction}\n\n${input}`, string(values.output, 'output'));
    }
    case 'prompt-completion':
      if (Array.isArray(values.prompt) && Array.isArray(values.completion)) {
        return [...values.prompt, ...values.completion].map((one) => turn(one, 'role', 'content', (role) => role));
      }
      return pair(string(values.prompt, 'prompt'), string(values.completion, 'completion'));
    case 'text-target':
      return pair(string(values.text, 'text'), string(values.target, 'target'));
    case 'classification':
      return pair(string(values.text, 'text'), string(values.label, 'label'));
    default:
      throw new CannotConvert(`it is of the format "${from}", that has no turns`);
  }
}

function exchange(
  turns: Turn[],
  to: DatasetFormat,
): { system: string | undefined; prompt: string; completion: string } {
  const rest = [...turns];
  const system = rest[0]?.role === 'system' ? rest.shift()?.content : undefined;
  const [first, second] = rest;
  if (rest.length !== 2 || first?.role !== 'user' || second?.role !== 'assistant') {
    throw new CannotConvert(`"${to}" takes one question and one answer, this row has ${turns.length} turns`);
  }
  return { system, prompt: first.content, completion: second.content };
}

function pair(user: string, assistant: string): Turn[] {
  return [
    { role: 'user', content: user },
    { role: 'assistant', content: assistant },
  ];
}

function turn(value: unknown, roleKey: string, contentKey: string, name: (role: string) => string): Turn {
  if (typeof value !== 'object' || value === null) throw new CannotConvert('a turn of it is no object');
  const one = value as Values;
  const extra = Object.keys(one).find((key) => key !== roleKey && key !== contentKey && one[key] != null);
  if (extra !== undefined) throw new CannotConvert(`a turn of it has "${extra}", which would be lost`);
  return { role: name(string(one[roleKey], roleKey)), content: contentText(one[contentKey], contentKey) };
}

/** Text, or OpenAI's list of parts that are all text. */
function contentText(value: unknown, key: string): string {
  if (!Array.isArray(value)) return string(value, key);
  return value
    .map((part: unknown) => {
      const { type, text } = (part ?? {}) as Values;
      if (type !== 'text' || typeof text !== 'string') throw new CannotConvert('a turn of it is not only text');
      return text;
    })
    .join('');
}

function list(value: unknown, key: string): unknown[] {
  if (Array.isArray(value)) return value;
  throw new CannotConvert(`its "${key}" is no list`);
}

function string(value: unknown, key: string): string {
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint') return String(value);
  throw new CannotConvert(`its "${key}" is no text`);
}
