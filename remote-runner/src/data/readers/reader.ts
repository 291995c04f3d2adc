/** What a file format has to offer: its endings and a way to read it row by row. */
export interface Row {
  /** 1-based line of the file on which the row begins; for Parquet the row's number. */
  line: number;
  /** Where it is not the first file of the data. */
  file?: string;
  /** Column → value. */
  values: Record<string, unknown>;
}

export interface ReadOptions {
  signal?: AbortSignal;
  /** Plain text: a row a paragraph (default), or the whole file as one row, for pretraining. */
  textRows?: 'paragraph' | 'document';
}

export interface Reader {
  name: string;
  /** Endings of file names, lower case, without the dot. */
  extensions: readonly string[];
  read(path: string, options: ReadOptions): AsyncIterable<Row>;
}
