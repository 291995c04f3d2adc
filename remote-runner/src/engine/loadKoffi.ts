import { createRequire } from 'node:module';

export type Koffi = typeof import('koffi');

/** Of a native call off the event loop: koffi's default is too little for MPICH, and scant for loading a graph. */
const STACK_BYTES = 4 * 2 ** 20;

let loaded: Koffi | undefined;

/** What calls C. Loaded when first asked for: machines without it do without. @throws Error where it is not installed */
export function loadKoffi(): Koffi {
  if (!loaded) {
    const koffi = createRequire(import.meta.url)('koffi') as Koffi;
    koffi.config({ async_stack_size: STACK_BYTES });
    loaded = koffi;
  }
  return loaded;
}
