import { BlockList, isIPv6 } from 'node:net';
import type { RawActivationRule } from '../config-schema.ts';
import type { PeerFacts } from '../connections/peer-facts.ts';

/** What a rule that fits says of an agent. */
export interface Admission {
  readonly labels: Readonly<Record<string, string>>;
}

/**
 * Which agents that come by themselves, with a certificate of the authority, are active without being looked at.
 * The first rule that fits decides.
 */
export class ActivationPolicy {
  readonly #rules: readonly Rule[];

  constructor(rules: readonly RawActivationRule[]) {
    this.#rules = rules.map(({ agents, dnsNames, addresses, labels }) => ({
      agents: agents === undefined ? undefined : new Set(agents.map((id) => id.toLowerCase())),
      dnsNames: dnsNames?.map((name) => name.toLowerCase()),
      addresses: addresses === undefined ? undefined : blockList(addresses),
      labels,
    }));
  }

  /** `undefined`: an administrator has to say so. */
  admit(peer: PeerFacts, remoteAddress: string | undefined): Admission | undefined {
    return this.#rules.find((rule) => fits(rule, peer, remoteAddress));
  }
}

interface Rule extends Admission {
  readonly agents: ReadonlySet<string> | undefined;
  readonly dnsNames: readonly string[] | undefined;
  readonly addresses: BlockList | undefined;
}

function fits(rule: Rule, peer: PeerFacts, remoteAddress: string | undefined): boolean {
  if (rule.agents?.has(peer.uuid) === false) return false;
  if (
    rule.dnsNames?.some((pattern) => peer.dnsNames.some((name) => matches(name, pattern))) === false
  ) {
    return false;
  }
  return rule.addresses === undefined || contains(rule.addresses, remoteAddress);
}

/** `*.` stands for exactly one label. */
function matches(name: string, pattern: string): boolean {
  const lower = name.toLowerCase();
  if (!pattern.startsWith('*.')) return lower === pattern;
  const dot = lower.indexOf('.');
  return dot > 0 && lower.slice(dot) === pattern.slice(1);
}

function contains(list: BlockList, address: string | undefined): boolean {
  if (address === undefined) return false;
  const plain = address.replace(/^::ffff:(?=\d+\.)/u, '');
  return list.check(plain, isIPv6(plain) ? 'ipv6' : 'ipv4');
}

function blockList(ranges: readonly string[]): BlockList {
  const list = new BlockList();
  for (const range of ranges) {
    const [address = '', bits] = range.split('/');
    const family = isIPv6(address) ? 'ipv6' : 'ipv4';
    if (bits === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(bits), family);
  }
  return list;
}
