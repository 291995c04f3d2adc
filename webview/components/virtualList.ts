/** A list of any number of rows of one height, of which only those in view are there. */
import { html, type TemplateResult } from 'lit';

const ROW_HEIGHT = 22;
/** Browsers make no element higher than some 30 million pixels: longer lists are scrolled in larger steps. */
const HIGHEST = 8_000_000;

export interface ListView {
  first: number;
  count: number;
  /** Where the first one stands. */
  top: number;
}

const heightOf = (rows: number): number => Math.min(rows * ROW_HEIGHT, HIGHEST);

/** Rows in view of a list that is scrolled to `top`, in a window of `height`; a few more, so that none is missing. */
export function viewOf(rows: number, top: number, height: number): ListView {
  const shown = Math.ceil(height / ROW_HEIGHT) + 1;
  const most = Math.max(0, heightOf(rows) - height);
  const share = most > 0 ? Math.min(1, top / most) : 0;
  const isWhole = rows * ROW_HEIGHT <= HIGHEST;
  const first = isWhole ? Math.floor(top / ROW_HEIGHT) : Math.round(share * Math.max(0, rows - shown + 1));
  const at = Math.max(0, Math.min(first, Math.max(0, rows - 1)));
  return { first: at, count: Math.min(shown, rows - at), top: isWhole ? at * ROW_HEIGHT : top };
}

/** Rows by which a page key moves. */
export const pageOf = (height: number): number => Math.max(1, Math.floor(height / ROW_HEIGHT) - 1);

/** Where to scroll so that a row is in view; undefined where it is. */
export function topFor(rows: number, row: number, top: number, height: number): number | undefined {
  if (rows * ROW_HEIGHT > HIGHEST) {
    const view = viewOf(rows, top, height);
    if (row >= view.first && row < view.first + view.count - 1) return undefined;
    return (row / Math.max(1, rows - 1)) * Math.max(0, heightOf(rows) - height);
  }
  const at = row * ROW_HEIGHT;
  if (at < top) return at;
  return at + ROW_HEIGHT > top + height ? at + ROW_HEIGHT - height : undefined;
}

/** Styles are set as properties: the page's policy forbids them as attributes. */
export function spacer(rows: number, view: ListView, content: readonly TemplateResult[]): TemplateResult {
  return html`<div class="spacer" .style=${`height:${heightOf(rows)}px`}>
    <div class="window" .style=${`transform:translateY(${view.top}px)`}>${content}</div>
  </div>`;
}
