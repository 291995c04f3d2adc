/** CSV with a header line (RFC 4180: quoted fields may hold separators and line breaks). */
import { separatedReader } from './separated';

export const csvReader = separatedReader('CSV', ['csv'], ',');
