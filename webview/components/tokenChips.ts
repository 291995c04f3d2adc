/** A text token by token: alternating, with ids, what is learned, what is special, and where it is cut. */
import type { DatasetSample, SampleToken } from '@protocol/dataset';
import * as l10n from '@vscode/l10n';
import { html, nothing, type TemplateResult } from 'lit';

/** More are shown when asked for. */
export const FIRST_TOKENS = 2000;

type Part = DatasetSample['parts'][number];

/** Each turn as a block, its tokens as chips. */
export function tokenBlocks(parts: readonly Part[], tokens: readonly SampleToken[], most: number): TemplateResult {
  if (tokens.length === 0)
    return html`${parts.map((part) => block(part.role, html`<p class="plain">${part.text}</p>`))}`;
  const blocks: TemplateResult[] = [];
  let at = 0;
  const take = (role: string | undefined, to: number) => {
    const end = Math.min(to, tokens.length, most);
    if (end > at) blocks.push(block(role, chips(tokens, at, end)));
    at = Math.max(at, end);
  };
  for (const { role, from, to } of parts) {
    take(undefined, from);
    take(role, to);
  }
  take(undefined, tokens.length);
  return html`${blocks}`;
}

function block(role: string | undefined, content: TemplateResult): TemplateResult {
  return html`<section class="part">${role ? html`<h3>${roleName(role)}</h3>` : nothing}${content}</section>`;
}

function roleName(role: string): string {
  switch (role) {
    case 'prompt':
      return l10n.t('Prompt');
    case 'completion':
      return l10n.t('To be written');
    case 'text':
      return l10n.t('Text');
    case 'raw':
      return l10n.t('As it is in the file');
    default:
      return role.charAt(0).toUpperCase() + role.slice(1);
  }
}

function chips(tokens: readonly SampleToken[], from: number, to: number): TemplateResult {
  const first = tokens.findIndex(({ cut }) => cut);
  return html`<p class="tokens">${tokens.slice(from, to).map((token, i) => {
    const at = from + i;
    return html`${
      at === first ? html`<span class="cut-line" role="separator">${l10n.t('cut here')}</span>` : nothing
    }<span class=${classOf(token, at)} title=${titleOf(token, at)}>${shown(token.text)}</span>${
      token.text.endsWith('\n') ? html`<br />` : nothing
    }`;
  })}</p>`;
}

const classOf = ({ supervised, special, cut }: SampleToken, at: number): string =>
  ['token', at % 2 ? 'odd' : 'even', supervised && 'learned', special && 'special', cut && 'cut']
    .filter(Boolean)
    .join(' ');

function titleOf({ id, text, supervised, special, cut }: SampleToken, at: number): string {
  const kind = cut ? l10n.t('cut off') : supervised ? l10n.t('learned') : l10n.t('given');
  return [`${id}`, JSON.stringify(text), special ? l10n.t('special') : undefined, kind, l10n.t('token {0}', at + 1)]
    .filter((part) => part !== undefined)
    .join(' · ');
}

/** White space that can be seen. */
const shown = (text: string): string =>
  text === '' ? '∅' : text.replaceAll('\n', '↵').replaceAll('\t', '→').replaceAll('\r', '␍').replaceAll('\0', '␀');
