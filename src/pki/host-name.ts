import { equal } from '../bytes/bytes.ts';
import type { Certificate } from './certificate.ts';

/**
 * Whether a text is a host name in the preferred syntax: labels of letters, digits and inner
 * hyphens, no trailing dot, at most 253 characters
 * ({@link https://www.rfc-editor.org/rfc/rfc1123#section-2.1 | RFC 1123 §2.1}). International names are
 * A-labels. A name whose last label is all digits is an address, not a name.
 */
export function isHostName(text: string): boolean {
  return text.length <= MAX_HOST_NAME && hostName.test(text) && !numericLabel.test(lastLabel(text));
}

/** Whether a text may stand in a dNSName: a host name, or one behind a leftmost `*` label. */
export function isPresentedName(text: string): boolean {
  return isHostName(text.startsWith('*.') ? text.slice(2) : text);
}

/**
 * Whether a certificate is for this DNS name
 * ({@link https://www.rfc-editor.org/rfc/rfc9525#section-6.3 | RFC 9525 §6.3}). Only dNSName entries
 * count, never the common name. A wildcard is a whole leftmost label, stands for exactly one label,
 * and has at least two labels after it. `name` is an A-label name, in any case; one that is not a host
 * name matches nothing.
 */
export function matchesDnsName(certificate: Certificate, name: string): boolean {
  if (!isHostName(name)) return false;
  const wanted = name.toLowerCase();
  const wantedParent = parentOf(wanted);
  return certificate.subjectAltNames.dnsNames.some((presented) => {
    if (!isPresentedName(presented)) return false;
    const lower = presented.toLowerCase();
    if (!lower.startsWith('*.')) return lower === wanted;
    const parent = lower.slice(2);
    return parent.includes('.') && parent === wantedParent;
  });
}

/**
 * Whether a certificate is for this IP address, in text form; compared by bytes with iPAddress entries
 * only ({@link https://www.rfc-editor.org/rfc/rfc9525#section-6.5 | RFC 9525 §6.5}).
 */
export function matchesIpAddress(certificate: Certificate, address: string): boolean {
  const wanted = parseIpAddress(address);
  if (wanted === undefined) return false;
  return certificate.subjectAltNames.ipAddresses.some((presented) => equal(presented, wanted));
}

/** The 4 or 16 bytes of an address in text form, without zone or brackets. */
export function parseIpAddress(text: string): Uint8Array | undefined {
  return text.includes(':') ? parseIpv6(text) : parseIpv4(text);
}

/** Four decimal numbers without leading zeros, which some software reads as octal. */
function parseIpv4(text: string): Uint8Array | undefined {
  const parts = text.split('.');
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9][0-9]{0,2})$/.test(part))) {
    return undefined;
  }
  const numbers = parts.map(Number);
  return numbers.every((number) => number <= 255) ? Uint8Array.from(numbers) : undefined;
}

/** RFC 4291 §2.2, all three forms. */
function parseIpv6(text: string): Uint8Array | undefined {
  if (text.length > MAX_IPV6_TEXT) return undefined;
  const halves = text.split('::');
  const [head = '', tail] = halves;
  if (halves.length > 2) return undefined;
  const before = parseGroups(head, tail === undefined);
  const after = tail === undefined ? [] : parseGroups(tail, true);
  if (before === undefined || after === undefined) return undefined;
  const missing = 16 - before.length - after.length;
  // `::` stands for at least one group.
  if (tail === undefined ? missing !== 0 : missing < 2) return undefined;
  return Uint8Array.from([...before, ...Array.from({ length: missing }, () => 0), ...after]);
}

/** Bytes of groups between colons; the last may be an IPv4 address if it ends the text. */
function parseGroups(text: string, endsText: boolean): readonly number[] | undefined {
  if (text === '') return [];
  const bytes: number[] = [];
  const groups = text.split(':');
  for (const [index, group] of groups.entries()) {
    if (endsText && index === groups.length - 1 && group.includes('.')) {
      const embedded = parseIpv4(group);
      if (embedded === undefined) return undefined;
      bytes.push(...embedded);
    } else {
      if (!/^[0-9A-Fa-f]{1,4}$/.test(group)) return undefined;
      const value = Number.parseInt(group, 16);
      bytes.push(value >> 8, value & 0xff);
    }
  }
  return bytes;
}

function parentOf(name: string): string | undefined {
  const dot = name.indexOf('.');
  return dot === -1 ? undefined : name.slice(dot + 1);
}

function lastLabel(name: string): string {
  return name.slice(name.lastIndexOf('.') + 1);
}

const MAX_HOST_NAME = 253;
const MAX_IPV6_TEXT = 45;
const label = '[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?';
const hostName = new RegExp(`^${label}(?:\\.${label})*$`);
const numericLabel = /^[0-9]+$/;
