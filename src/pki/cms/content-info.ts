import { explicit, objectIdentifier, sequence } from '../der-writer.ts';
import { type DerReader, readWhole, Tag } from '../der.ts';
import { dottedOid } from '../oids.ts';
import { reading } from './reading.ts';

/** The outermost layer of every CMS structure. */
export interface ContentInfo {
  /** Dotted. */
  readonly contentType: string;
  /** DER of the content. */
  readonly content: Uint8Array;
}

/* ContentInfo ::= SEQUENCE { contentType ContentType, content [0] EXPLICIT ANY DEFINED BY contentType } */

/**
 * Reads a `ContentInfo` ({@link https://www.rfc-editor.org/rfc/rfc5652#section-3 | RFC 5652 §3}), which must be
 * all there is. The content is a view. Throws `CmsError`.
 */
export function parseContentInfo(der: Uint8Array): ContentInfo {
  return reading('the ContentInfo', der, (bytes) => {
    const reader = readWhole(bytes, (outer: DerReader) => outer.enter(Tag.sequence));
    const contentType = dottedOid(reader.objectIdentifier());
    const wrapper = reader.enter(Tag.contextConstructed(0));
    const content = wrapper.element(Tag.sequence);
    wrapper.end();
    reader.end();
    return { contentType, content };
  });
}

/** `contentType` is dotted, `content` DER. */
export function encodeContentInfo({ contentType, content }: ContentInfo): Uint8Array {
  return sequence(objectIdentifier(contentType), explicit(0, content));
}
