/** Tab-separated values with a header line; quotes mean what they mean in CSV. */
import { separatedReader } from './separated';

export const tsvReader = separatedReader('TSV', ['tsv', 'tab'], '\t');
