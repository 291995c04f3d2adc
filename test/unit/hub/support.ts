import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TuneyardError } from '@protocol/errors';
import { afterEach, expect } from 'vitest';

/** A function that makes a fresh folder; all of them go when the test ends. */
export function temporaryFolders(): () => Promise<string> {
  const made: string[] = [];
  afterEach(async () => {
    for (const dir of made.splice(0)) await rm(dir, { recursive: true, force: true });
  });
  return async () => {
    const dir = await mkdtemp(join(tmpdir(), 'tuneyard-test-'));
    made.push(dir);
    return dir;
  };
}

/** The error that a call fails with, which must be one that a person may see. */
export async function failure(promise: Promise<unknown>): Promise<TuneyardError> {
  const error = await promise.then(
    () => expect.fail('this should have failed'),
    (reason: unknown) => reason,
  );
  if (!(error instanceof TuneyardError)) throw error;
  expect(error.what).toMatch(/^\S.*\.$/s);
  expect(error.what).not.toContain('\n');
  return error;
}

/** A safetensors file byte by byte, so that it can be wrong. `length` overrides the header's length field. */
export function rawSafetensors(header: unknown, data: Uint8Array, length?: bigint): Buffer {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(length ?? BigInt(json.byteLength));
  return Buffer.concat([prefix, json, data]);
}

/** Bytes of 16-bit values. */
export function halves(values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 2);
  for (const [i, value] of values.entries()) bytes.writeUInt16LE(value, i * 2);
  return bytes;
}
