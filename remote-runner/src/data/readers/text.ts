/**
 * Plain text: paragraphs, separated by one or more blank lines, are the rows (column `text`; line breaks within a
 * paragraph stay). Read as a document, the whole file is one row, exactly as it is but for CRLF becoming LF: that
 * is what pretraining on one long text packs into blocks.
 */
import { MOST_ROW_BYTES, readLines, tooLarge, withoutEnding } from './lines';
import type { Reader } from './reader';

/** A paragraph's text from its lines as they stand in the file. */
export function joinParagraph(lines: string): string {
  return withoutEnding(lines).replaceAll('\r\n', '\n');
}

export const textReader: Reader = {
  name: 'plain text',
  extensions: ['txt', 'text'],
  async *read(path, { signal, textRows = 'paragraph' }) {
    if (textRows === 'document') {
      const parts: string[] = [];
      for await (const { text } of readLines(path, signal)) {
        parts.push(text.endsWith('\r\n') ? `${text.slice(0, -2)}\n` : text);
      }
      const document = parts.join('');
      if (document.trim() !== '') yield { line: 1, values: { text: document } };
      return;
    }
    let start = 0;
    let size = 0;
    let paragraph: string[] = [];
    for await (const { line, text, bytes } of readLines(path, signal, MOST_ROW_BYTES)) {
      if (text.trim() === '') {
        if (paragraph.length > 0) yield { line: start, values: { text: paragraph.join('\n') } };
        paragraph = [];
        continue;
      }
      if (paragraph.length === 0) {
        start = line;
        size = 0;
      }
      size += bytes;
      if (size > MOST_ROW_BYTES) throw tooLarge(path, start);
      paragraph.push(withoutEnding(text));
    }
    if (paragraph.length > 0) yield { line: start, values: { text: paragraph.join('\n') } };
  },
};
