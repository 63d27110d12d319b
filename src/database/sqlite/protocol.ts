/** What the thread of the writing connection is told. Answered in order, one answer each. */
export type WriterRequest =
  | {
      readonly type: 'execute';
      readonly id: number;
      readonly sql: string;
      /** See `packValues`. */
      readonly parameters: Uint8Array<ArrayBuffer>;
    }
  | { readonly type: 'close'; readonly id: number };

/** What is asked at once travels at once. */
export type WriterRequests = readonly WriterRequest[];

/** `ready` comes once, before anything was asked. */
export type WriterAnswers = 'ready' | readonly WriterAnswer[];

export type WriterAnswer =
  | {
      readonly type: 'done';
      readonly id: number;
      readonly rows: readonly unknown[];
      /** Of a statement that answers no rows. */
      readonly changes?: number;
    }
  | { readonly type: 'failed'; readonly id: number; readonly failure: SqliteFailure };

/** An error of SQLite, as it crosses between threads. */
export interface SqliteFailure {
  readonly message: string;
  /** Extended result code; 0: none of SQLite's. */
  readonly code: number;
}

/** Where the thread finds its database. */
export interface WriterData {
  readonly path: string;
  /** Only to read, for as long as others write. */
  readonly readOnly?: boolean;
}
