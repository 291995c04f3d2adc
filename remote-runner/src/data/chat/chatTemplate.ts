/**
 * Chats as a model's tokenizer writes them: its `chat_template` (Jinja), rendered as transformers' `apply_chat_template` does,
 * and which characters of the text the model learns to write. A template with `{% generation %}` blocks says so itself;
 * of others the turns of the assistant are found by rendering the chat turn by turn.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Template } from '@huggingface/jinja';
import { type ErrorPlace, TuneyardError } from '@protocol/errors';

/** Plain data: it goes to threads. */
export interface ChatTemplate {
  source: string;
  /** Where it comes from, for people. */
  origin: string;
  /** `bos_token`, `eos_token` and the like, as the template may write them. */
  tokens: Readonly<Record<string, string>>;
}

export interface ChatMessage {
  role: string;
  content: string;
}

/** Characters `[start, end)`. */
export interface Span {
  start: number;
  end: number;
}

export interface ChatText {
  kind: 'chat';
  text: string;
  turns: (Span & { role: string })[];
  /** What the model learns to write, in order. */
  learned: Span[];
}

/** For tokenizers without one: a line a turn, and the end of sequence behind what the assistant says. */
const PLAIN_SOURCE = `{%- for message in messages -%}
{{ message.role[0] | upper }}{{ message.role[1:] }}: {{ message.content }}
{%- if message.role == 'assistant' -%}{{ eos_token }}{%- endif -%}
{{ '\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}Assistant:{%- endif -%}`;

/** The assistant's words in a template of its own say where they begin and end, by these. */
const [OPEN, CLOSE] = ['\ue000', '\ue001'];

/** @param tokens `bos_token` and so on; what a template asks for and has none is empty */
export const plainChatTemplate = (tokens: ChatTemplate['tokens']): ChatTemplate => ({
  source: PLAIN_SOURCE,
  origin: 'none of its own: a line a turn',
  tokens,
});

/**
 * The chat template of a model's folder: `chat_template.jinja`, else `chat_template` of tokenizer_config.json, of several the one
 * named "default". undefined where there is none.
 *
 * @param config the content of tokenizer_config.json
 */
export async function readChatTemplate(
  dir: string,
  config: Record<string, unknown>,
  tokens: ChatTemplate['tokens'],
): Promise<ChatTemplate | undefined> {
  const file = await readFile(join(dir, 'chat_template.jinja'), 'utf8').catch(() => undefined);
  if (file !== undefined) return { source: file, origin: 'chat_template.jinja', tokens };
  const { chat_template: given } = config;
  const origin = 'tokenizer_config.json';
  if (typeof given === 'string') return { source: given, origin, tokens };
  if (!Array.isArray(given)) return undefined;
  const named = given.filter(
    (each): each is { name: string; template: string } =>
      typeof each?.name === 'string' && typeof each?.template === 'string',
  );
  const chosen = named.find(({ name }) => name === 'default') ?? named[0];
  return chosen && { source: chosen.template, origin, tokens };
}

/**
 * @param learnedFrom the first message that may be learned: those before it are given
 * @throws TuneyardError `dataset_invalid` where the template refuses the chat, or nobody can tell what the assistant says;
 *   `template_invalid` where it is no template
 */
export function renderChat(
  chat: ChatTemplate,
  messages: readonly ChatMessage[],
  place: ErrorPlace,
  learnedFrom = 0,
): ChatText {
  const compiled = compile(chat);
  const render = (some: readonly ChatMessage[], prompt: boolean): string => {
    try {
      return compiled.template.render({
        ...chat.tokens,
        messages: some,
        add_generation_prompt: prompt,
        tools: null,
        documents: null,
      });
    } catch (cause) {
      const why = (cause instanceof Error ? cause.message : String(cause)).replace(/[.\s]+$/, '');
      throw new TuneyardError(
        'dataset_invalid',
        `the chat template refuses this chat (${why}); change the row or take it out.`,
        {
          place,
          cause,
        },
      );
    }
  };
  const marked = render(messages, false);
  const { text, spans } = takeMarks(marked);
  const part = (count: number, prompt: boolean): number | undefined => {
    try {
      const before = takeMarks(render(messages.slice(0, count), prompt)).text;
      return text.startsWith(before) ? before.length : undefined;
    } catch {
      // A template may refuse half a chat.
      return undefined;
    }
  };
  /** Where the assistant begins that speaks first: templates ask for an answer only to what was said. */
  const opening = (): number | undefined => {
    const question = [{ role: 'user', content: 'x' }];
    try {
      const [asked, said] = [render(question, true), render(question, false)].map((marked) => takeMarks(marked).text);
      const prompt = asked!.startsWith(said!) ? asked!.slice(said!.length) : '';
      const at = prompt === '' ? -1 : text.indexOf(prompt);
      return at < 0 ? part(0, true) : at + prompt.length;
    } catch {
      return part(0, true);
    }
  };
  const turns: ChatText['turns'] = [];
  const learned: Span[] = [];
  for (const [i, { role, content }] of messages.entries()) {
    const start = turns.at(-1)?.end ?? 0;
    const end = i === messages.length - 1 ? text.length : (part(i + 1, false) ?? endOf(text, content, start) ?? start);
    turns.push({ role, start, end: Math.max(start, end) });
    if (role !== 'assistant' || i < learnedFrom || compiled.isMarked) continue;
    const from = i === 0 ? opening() : part(i, true);
    const span = spanOf(text, content, { from, start, end }, chat.tokens.eos_token);
    if (!span) {
      throw new TuneyardError(
        'dataset_invalid',
        `the chat template changes what turn ${i + 1} says, so that nobody can tell what of it is to be learned; change the row or take it out.`,
        { place },
      );
    }
    learned.push(span);
  }
  const first = turns[learnedFrom]?.start ?? 0;
  return {
    kind: 'chat',
    text,
    turns,
    learned: compiled.isMarked ? spans.filter(({ start }) => start >= first) : learned,
  };
}

/** What the assistant writes of a turn: from behind the generation prompt to the end that it writes, without what follows. */
function spanOf(
  text: string,
  content: string,
  { from, start, end }: { from: number | undefined; start: number; end: number },
  eos: string | undefined,
): Span | undefined {
  if (from !== undefined && from >= start && from <= end && text.slice(from, end).includes(content.trim())) {
    const written = text.slice(from, end);
    return { start: from, end: from + written.trimEnd().length };
  }
  const at = text.indexOf(content.trim(), start);
  if (at < 0) return undefined;
  const behind = at + content.trim().length;
  const ends = eos !== undefined && eos !== '' && text.slice(behind).trimStart().startsWith(eos);
  if (ends) return { start: at, end: text.indexOf(eos, behind) + eos.length };
  // What else ends a turn is a token of its own, that no person would write.
  const mark = /^\s*(<\S{1,40}>|\[\/?[A-Z_]{2,20}\])\s*$/.exec(text.slice(behind, end))?.[1];
  return { start: at, end: mark === undefined ? behind : text.indexOf(mark, behind) + mark.length };
}

function endOf(text: string, content: string, from: number): number | undefined {
  const at = text.indexOf(content.trim(), from);
  return at < 0 ? undefined : at + content.trim().length;
}

function takeMarks(marked: string): { text: string; spans: Span[] } {
  if (!marked.includes(OPEN)) return { text: marked, spans: [] };
  const spans: Span[] = [];
  let text = '';
  for (const [i, piece] of marked.split(OPEN).entries()) {
    if (i === 0) {
      text = piece;
      continue;
    }
    const start = text.length;
    const close = piece.indexOf(CLOSE);
    text += piece.replace(CLOSE, '');
    spans.push({ start, end: close < 0 ? text.length : start + close });
  }
  return { text, spans };
}

interface Compiled {
  template: Template;
  /** It says itself what the assistant writes. */
  isMarked: boolean;
}

const compiledOf = new Map<string, Compiled>();

function compile({ source, origin }: ChatTemplate): Compiled {
  const known = compiledOf.get(source);
  if (known) return known;
  // A mark stands where the block begins and ends, and takes part in how white space around the tag is trimmed.
  const mark = (text: string) => (_: string, tag: string, dash: string) => `${tag}{{${dash} '${text}' ${dash}}}`;
  const withMarks = source
    .replace(/(\{%-?\s*generation\s*(-?)%\})\n?/g, mark(OPEN))
    .replace(
      /(\{%(-?)\s*endgeneration\s*-?%\})/g,
      (_, tag: string, dash: string) => `{{${dash} '${CLOSE}' }}${tag.replace('{%-', '{%')}`,
    );
  try {
    const made = { template: new Template(withMarks), isMarked: withMarks !== source };
    compiledOf.set(source, made);
    return made;
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new TuneyardError('template_invalid', `the chat template of ${origin} cannot be read (${why}).`, { cause });
  }
}
