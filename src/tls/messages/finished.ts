import { parsing } from './parsing.ts';

/** {@link https://www.rfc-editor.org/rfc/rfc5246#section-7.4.9 | RFC 5246 §7.4.9}. */
export interface Finished {
  /** Always {@link verifyDataLength} bytes. A view of the body when parsed. */
  readonly verifyData: Uint8Array;
}

/** Bytes of `verify_data`: no suite of ours says otherwise. */
export const verifyDataLength = 12;

// struct { opaque verify_data[verify_data_length]; } Finished;

/** Throws `decode_error` for any other length. */
export function parseFinished(body: Uint8Array): Finished {
  return parsing('Finished', body, (reader) => ({ verifyData: reader.take(verifyDataLength) }));
}

/** Throws `RangeError` unless `verifyData` has its length. */
export function encodeFinished(message: Finished): Uint8Array {
  if (message.verifyData.length !== verifyDataLength) throw new RangeError('verify_data length');
  return Uint8Array.from(message.verifyData);
}
