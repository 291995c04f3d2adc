/** What was found, in a sentence with its figure. */
import type { FindingKind } from '@protocol/dataset';

interface FindingFacts {
  rows: number;
  maxLength: number;
  /** Rows that near-duplicates were looked for among. */
  compared: number;
  scripts: readonly { script: string; share: number }[];
  labels: readonly { label: string; count: number }[];
}

export function findingText(kind: FindingKind, count: number, facts: FindingFacts): string {
  const share = `${percent(count / facts.rows)} of ${facts.rows.toLocaleString('en')}`;
  const rows = `${count.toLocaleString('en')} ${count === 1 ? 'row' : 'rows'} (${share})`;
  switch (kind) {
    case 'unusable':
      return `${rows} cannot be used.`;
    case 'truncated':
      return `${rows} ${verb(count, 'is', 'are')} longer than ${facts.maxLength} tokens and ${verb(count, 'loses its', 'lose their')} end.`;
    case 'duplicate':
      return `${rows} ${verb(count, 'has', 'have')} the text of an earlier one.`;
    case 'near_duplicate': {
      const among =
        facts.compared < facts.rows ? `, looked for among the first ${facts.compared.toLocaleString('en')}` : '';
      return `${rows} ${verb(count, 'is', 'are')} nearly the same as an earlier one${among}.`;
    }
    case 'empty_target':
      return `${rows} ${verb(count, 'has', 'have')} nothing to learn in the target.`;
    case 'one_word_target':
      return `${rows} ${verb(count, 'has', 'have')} a target of one word.`;
    case 'leakage':
      return `${count.toLocaleString('en')} held-out ${count === 1 ? 'row is' : 'rows are'} trained on too, word for word or nearly.`;
    case 'secret':
      return `${rows} ${verb(count, 'holds', 'hold')} what looks like a password, a key or a token.`;
    case 'email':
      return `${rows} ${verb(count, 'holds', 'hold')} an e-mail address.`;
    case 'encoding':
      return `${rows} ${verb(count, 'holds', 'hold')} odd characters.`;
    case 'language':
      return `${rows} ${verb(count, 'is', 'are')} in another script than most (${facts.scripts[0]?.script ?? ''}).`;
    case 'unbalanced': {
      const [most, least] = [facts.labels[0], facts.labels.at(-1)];
      return `The label “${most?.label}” has ${most?.count.toLocaleString('en')} rows, “${least?.label}” only ${least?.count.toLocaleString('en')}.`;
    }
  }
}

function verb(count: number, one: string, many: string): string {
  return count === 1 ? one : many;
}

function percent(share: number): string {
  const value = 100 * share;
  return `${value < 0.1 && value > 0 ? '<0.1' : Number(value.toFixed(1))}%`;
}
