/** Lists of turns in a row: OpenAI's `{role, content}` and ShareGPT's `{from, value}`. */
import type { ErrorPlace } from '@protocol/errors';
import type { ChatMessage } from '../chat/chatTemplate';
import { rowError, type Values } from './format';

/** Whether a value is a list of such turns: by the first. */
export function isTurns(value: unknown, ...keys: readonly string[]): boolean {
  const first: unknown = Array.isArray(value) ? value[0] : undefined;
  return typeof first === 'object' && first !== null && keys.every((key) => key in first);
}

/** @throws TuneyardError `dataset_invalid` */
export function messagesOf(values: Values, column: string, place: ErrorPlace): ChatMessage[] {
  return turns(values[column], column, place).map((turn, i) => {
    const where = `turn ${i + 1} of "${column}"`;
    const { role, content } = turn;
    if (typeof role !== 'string' || role === '') throw rowError(`${where} does not say who speaks (role).`, place);
    if (turn.tool_calls || turn.function_call || role === 'tool' || role === 'function')
      throw rowError(`${where} calls a tool, which is not trained on; take the row out.`, place);
    return { role, content: contentOf(content, where, place) };
  });
}

const SPEAKERS: Readonly<Record<string, string>> = {
  human: 'user',
  user: 'user',
  gpt: 'assistant',
  assistant: 'assistant',
  chatgpt: 'assistant',
  bing: 'assistant',
  bard: 'assistant',
  model: 'assistant',
  system: 'system',
};

/** @throws TuneyardError `dataset_invalid` */
export function conversationOf(values: Values, column: string, place: ErrorPlace): ChatMessage[] {
  return turns(values[column], column, place).map((turn, i) => {
    const where = `turn ${i + 1} of "${column}"`;
    const role = typeof turn.from === 'string' ? SPEAKERS[turn.from.toLowerCase()] : undefined;
    if (!role) {
      const known = 'human, gpt and system';
      throw rowError(`${where} is from ${JSON.stringify(turn.from) ?? 'nobody'}; known are ${known}.`, place);
    }
    return { role, content: contentOf(turn.value, where, place) };
  });
}

function turns(value: unknown, column: string, place: ErrorPlace): Record<string, unknown>[] {
  if (!Array.isArray(value)) throw rowError(`the column "${column}" holds no list of turns.`, place);
  if (value.length === 0) throw rowError(`the column "${column}" has no turns; take the row out.`, place);
  for (const [i, turn] of value.entries()) {
    if (typeof turn !== 'object' || turn === null || Array.isArray(turn))
      throw rowError(`turn ${i + 1} of "${column}" is no object.`, place);
  }
  return value as Record<string, unknown>[];
}

/** Text, or a list of parts that are text. */
function contentOf(content: unknown, where: string, place: ErrorPlace): string {
  if (typeof content === 'string') return content;
  if (content === undefined || content === null) throw rowError(`${where} says nothing.`, place);
  if (!Array.isArray(content)) throw rowError(`${where} holds no text.`, place);
  return content
    .map((part: unknown) => {
      const { type, text } = (part ?? {}) as { type?: unknown; text?: unknown };
      if (typeof text === 'string' && (type === undefined || type === 'text')) return text;
      throw rowError(`${where} holds ${JSON.stringify(type) ?? 'something'} that is no text.`, place);
    })
    .join('');
}
