import { describe, expect, it } from 'vitest';
import { formatBytes, formatNumber, formatSeconds } from '../../../webview/components/format';

describe('numbers in the report are short enough to read and carry a unit', () => {
  it.each([
    [0, '0'],
    [0.00002, '2e-5'],
    [0.001234, '0.00123'],
    [2.3456, '2.35'],
    [5485.2, '5485'],
    [20_000, '20 k'],
    [2_097_152, '2.1 M'],
    [-12.345, '-12.3'],
  ])('%d is %s', (value, text) => expect(formatNumber(value)).toBe(text));

  it.each([
    [4.21, '4.2 s'],
    [59.7, '1 min'],
    [84, '1 min 24 s'],
    [3599.6, '1 h'],
    [3725, '1 h 2 min'],
  ])('%d seconds are %s', (seconds, text) => expect(formatSeconds(seconds)).toBe(text));

  it.each([
    [5e5, '500 kB'],
    [530e6, '530 MB'],
    [2.5e9, '2.5 GB'],
  ])('%d bytes are %s', (bytes, text) => expect(formatBytes(bytes)).toBe(text));
});
