/** Connecting without a person having asked for it: then nothing may ask the person either. */
import { AsyncLocalStorage } from 'node:async_hooks';

const quiet = new AsyncLocalStorage<true>();

/** Whatever `work` asks a person is not asked, and counts as declined. What is remembered still answers. */
export function quietly<T>(work: () => Promise<T>): Promise<T> {
  return quiet.run(true, work);
}

export function isQuiet(): boolean {
  return quiet.getStore() === true;
}
