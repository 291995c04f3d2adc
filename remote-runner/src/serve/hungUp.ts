import type { Readable, Writable } from 'node:stream';

/** Resolves when the other end of a connection over streams has gone. */
export function hungUp(
  peer: { onClose(heard: () => void): unknown },
  input: Readable,
  output: Writable,
): Promise<void> {
  return new Promise((resolve) => {
    peer.onClose(resolve);
    // An end that is reached before a whole message is no error to the reader.
    input.once('end', resolve);
    output.once('error', () => resolve());
  });
}
