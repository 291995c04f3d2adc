/** Host memory that is given back while its addresses stay in use. */
import { type Koffi, loadKoffi } from './loadKoffi';

const PAGE = 4096;
/** MADV_DONTNEED of Linux: the pages are zeros when they are next touched. */
const DONT_NEED = 4;

interface Libc {
  addressOf(array: Uint8Array): bigint;
  madvise(address: bigint, bytes: number): number;
}

let libc: Libc | undefined;

function open(): Libc | undefined {
  if (libc || process.platform !== 'linux') return libc;
  let koffi: Koffi;
  try {
    koffi = loadKoffi();
  } catch {
    return undefined;
  }
  const library = koffi.load(null);
  // It returns where it was told to copy to.
  const memcpy = library.func('memcpy', 'void*', ['void*', 'void*', 'size_t']);
  const madvise = library.func('madvise', 'int', ['void*', 'size_t', 'int']);
  libc = {
    addressOf: (array) => memcpy(array, array, 0) as bigint,
    madvise: (address, bytes) => madvise(address, bytes, DONT_NEED) as number,
  };
  return libc;
}

/** Makes an array zeros, and gives the system back the pages that it alone covers, where that can be done. */
export function giveBack({ buffer, byteOffset, byteLength }: ArrayBufferView<ArrayBufferLike>): void {
  const bytes = new Uint8Array(buffer, byteOffset, byteLength);
  const calls = bytes.length >= 2 * PAGE ? open() : undefined;
  if (!calls) {
    bytes.fill(0);
    return;
  }
  const address = calls.addressOf(bytes);
  const head = Number((BigInt(PAGE) - (address % BigInt(PAGE))) % BigInt(PAGE));
  const whole = bytes.length - head - ((bytes.length - head) % PAGE);
  if (calls.madvise(address + BigInt(head), whole) !== 0) {
    bytes.fill(0);
    return;
  }
  bytes.fill(0, 0, head);
  bytes.fill(0, head + whole);
}
