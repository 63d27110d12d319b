import { element, generalizedTime, integer } from '../der-writer.ts';
import { DerError, readWhole, Tag } from '../der.ts';
import type { SignedAttributes } from './attributes.ts';
import { CmsError } from './cms-error.ts';

/** What the signer of a configuration says of it. */
export interface ConfigurationStatement {
  /** UUID of the agent it is for, lower case. */
  readonly agentId: string;
  /** Grows with every configuration of that agent; from 1 to 2^53 - 1. */
  readonly version: number;
  /** Not to be taken later than that; whole seconds. */
  readonly notAfter: Date;
}

/**
 * Object identifiers of our own, below 2.25 and a random UUID
 * ({@link https://www.itu.int/rec/T-REC-X.667 | X.667 §6}): 644d4c17-960c-43b7-8939-f26fea22c436.
 */
const ARC = '2.25.133324149768413962740043393521235969078';

/** Type of the signed content: a configuration, compressed with gzip (RFC 1952). */
export const CONFIGURATION_CONTENT_OID = `${ARC}.1.1`;

/** Signed attributes. */
export const ConfigurationAttributeOid = {
  /** OCTET STRING of 16 bytes: the UUID of the agent. */
  agentId: `${ARC}.2.1`,
  /** INTEGER. */
  version: `${ARC}.2.2`,
  /** GeneralizedTime. */
  notAfter: `${ARC}.2.3`,
} as const;

/** Form of an agent's UUID: 8-4-4-4-12 hexadecimal digits, lower case (RFC 9562 §4). */
export const agentIdPattern = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/u;

/**
 * The statement as signed attributes, by dotted identifier. Throws `RangeError` for an agent id or a
 * version of another form.
 */
export function encodeConfigurationStatement(
  statement: ConfigurationStatement,
): ReadonlyMap<string, Uint8Array> {
  const { agentId, version, notAfter } = statement;
  if (!agentIdPattern.test(agentId)) throw new RangeError('an agent id is a lower-case UUID');
  if (version < 1) throw new RangeError('versions of configurations begin with 1');
  return new Map([
    [
      ConfigurationAttributeOid.agentId,
      element(Tag.octetString, Buffer.from(agentId.replaceAll('-', ''), 'hex')),
    ],
    [ConfigurationAttributeOid.version, integer(version)],
    [ConfigurationAttributeOid.notAfter, generalizedTime(notAfter)],
  ]);
}

/**
 * The statement in signed attributes that also say when they were signed. All of it must be there, and
 * nothing that we do not know: a signer who says more wants it heard. Throws `CmsError`
 * (`attributes_unusable`).
 */
export function readConfigurationStatement({
  signingTime,
  others,
}: SignedAttributes): ConfigurationStatement & { readonly signingTime: Date } {
  const { agentId, version, notAfter } = ConfigurationAttributeOid;
  const values = [agentId, version, notAfter].map((oid) => others.get(oid));
  const [agentIdValue, versionValue, notAfterValue] = values;
  if (
    signingTime === undefined ||
    agentIdValue === undefined ||
    versionValue === undefined ||
    notAfterValue === undefined
  ) {
    throw unusable('the signature does not say for whom, which version or how long');
  }
  if (others.size !== values.length) throw unusable('the signature says more than we know');
  try {
    return {
      agentId: readWhole(agentIdValue, (reader) => uuidOf(reader.content(Tag.octetString))),
      version: readWhole(versionValue, (reader) => versionOf(reader.integer())),
      notAfter: readWhole(notAfterValue, (reader) => reader.generalizedTime()),
      signingTime,
    };
  } catch (cause) {
    if (!(cause instanceof DerError)) throw cause;
    throw new CmsError('attributes_unusable', `a signed attribute ${cause.message}`, { cause });
  }
}

function uuidOf(bytes: Uint8Array): string {
  if (bytes.length !== 16) throw new DerError('is no UUID of 16 bytes');
  const digits = Buffer.from(bytes).toString('hex');
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/u, '$1-$2-$3-$4-$5');
}

function versionOf(content: Uint8Array): number {
  let value = 0n;
  if ((content[0] ?? 0) < 0x80 && content.length <= 8) {
    for (const byte of content) value = value * 256n + BigInt(byte);
  }
  if (value < 1n || value > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new DerError('is no version from 1 to 2^53 - 1');
  }
  return Number(value);
}

function unusable(problem: string): CmsError {
  return new CmsError('attributes_unusable', problem);
}
