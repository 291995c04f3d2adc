/** Some rows of a text file, byte for byte as they stand in it, as a file of the same format. */
import type { RecordFile } from '../index/recordFile';

const LF = Buffer.from('\n');
const PIECE = 1 << 18;

export async function* keptRecords(
  file: RecordFile,
  isKept: (row: number) => boolean,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  let piece: Uint8Array[] = [];
  let size = 0;
  const put = (...parts: Uint8Array[]) => {
    for (const part of parts) {
      piece.push(part);
      size += part.length;
    }
  };
  const header = await file.headerBytes();
  if (header) put(...line(header));
  let isFirst = true;
  if (file.isArray) put(Buffer.from('[\n'));
  for await (const { row, bytes } of file.records(signal)) {
    if (!isKept(row)) continue;
    if (file.isArray) put(...(isFirst ? [] : [Buffer.from(',\n')]), bytes);
    else if (file.isText) put(...(isFirst ? [] : [LF]), ...line(bytes));
    else put(...line(bytes));
    isFirst = false;
    if (size < PIECE) continue;
    yield Buffer.concat(piece);
    piece = [];
    size = 0;
  }
  if (file.isArray) put(Buffer.from(isFirst ? ']\n' : '\n]\n'));
  yield Buffer.concat(piece);
}

/** The file's last line may have no end. */
function line(bytes: Uint8Array): Uint8Array[] {
  return bytes.at(-1) === LF[0] ? [bytes] : [bytes, LF];
}
