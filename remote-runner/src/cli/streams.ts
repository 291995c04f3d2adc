/** Where the command line writes: the process's own streams, or a test's. */
export interface Streams {
  stdout: TextStream;
  stderr: TextStream;
}

/** As much of `process.stdout` as is used here. */
export type TextStream = NodeJS.WritableStream & { isTTY?: boolean; columns?: number };
