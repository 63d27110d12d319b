import { hash } from '../../crypto/hash.ts';
import { generateKeyPair } from '../../crypto/key-generation.ts';
import { equal, toHex } from '../../bytes/bytes.ts';
import { isHostName, keyIdentifier, parseIpAddress } from '../../pki/index.ts';
import { exportPublicKeyInfo } from '../../pki/issue-certificate.ts';
import type { AuthorityCredential } from '../authority.ts';
import { keepUp } from '../generations/keep-up.ts';
import { newSerial } from '../issue/ids.ts';
import type { IssuingContext } from '../issue/issuing-context.ts';
import { leafValidity } from '../issue/leaf-signer.ts';
import { every, type Timers } from '../timers.ts';

/**
 * The certificate a replica shows at its listeners. It makes its key itself, in memory, and replaces
 * both at half of their life and whenever another issuing CA signs.
 */
export class OwnCredential {
  readonly #context: IssuingContext;
  readonly #timers: Timers;
  readonly #listeners = new Set<() => void>();
  readonly #stops: (() => void)[] = [];
  #held: Held | undefined;
  #renewing: Promise<void> | undefined;
  #problem: string | undefined;

  constructor(context: IssuingContext, timers: Timers) {
    this.#context = context;
    this.#timers = timers;
  }

  /** Makes the first. Rejects as signing and the store do. */
  async start(): Promise<void> {
    await this.#issue();
    this.#stops.push(
      this.#context.generations.onChange(() => {
        this.#renewIfDue();
      }),
      every(this.#timers, LOOK_EVERY_MS, () => {
        this.#renewIfDue();
      }),
    );
  }

  get current(): AuthorityCredential {
    if (this.#held === undefined) throw new Error('the credential is made by start()');
    return this.#held.credential;
  }

  /** Number of the issuing CA that signed it. */
  get issuing(): number {
    return this.#held?.issuing.number ?? 0;
  }

  /** Why it is older than it should be. */
  get problem(): string | undefined {
    return this.#problem;
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    for (const stop of this.#stops.splice(0)) stop();
    await this.#renewing;
  }

  #renewIfDue(): void {
    if (this.#renewing !== undefined || !this.#isDue()) return;
    this.#renewing = this.#issue()
      .then(
        () => {
          this.#problem = undefined;
        },
        (error: unknown) => {
          // Tried again at the next look: the one there is good for as long again.
          this.#context.log.warn({ err: error }, 'own certificate could not be renewed');
          this.#problem = 'the own certificate cannot be renewed';
        },
      )
      .finally(() => {
        this.#renewing = undefined;
      });
  }

  #isDue(): boolean {
    if (this.#held === undefined) return false;
    if (this.#context.now().getTime() >= this.#held.renewAt) return true;
    const signing = this.#context.generations
      .all()
      .find(({ kind, state }) => kind === 'issuing' && state === 'signing');
    return signing !== undefined && !equal(signing.id, this.#held.issuing.id);
  }

  async #issue(): Promise<void> {
    const context = this.#context;
    const { replicaId, trustDomain, store } = context;
    const issuer = context.leaves.issuer('authority');
    const { publicKey, privateKey } = generateKeyPair('ecdsa-p256');
    const publicKeyInfo = exportPublicKeyInfo(publicKey);
    const spiffeId = `spiffe://${trustDomain}/authority/${replicaId}`;
    const validity = leafValidity(issuer, context.now().getTime(), LIFETIME_SECONDS);
    const serial = newSerial(context);
    const [der] = await context.leaves.sign(issuer, [
      {
        serial,
        purpose: 'authority',
        key: { publicKeyInfo, keyIdentifier: keyIdentifier(publicKeyInfo), kind: 'ecdsa-p256' },
        ...validity,
        uri: spiffeId,
        ...hostNames(context.addresses),
      },
    ]);
    if (der === undefined) throw new Error('the own certificate was not signed');
    await store.transact(async (transaction) => {
      await keepUp(context);
      if (!equal(context.leaves.issuer('authority').id, issuer.id)) {
        throw new Error('another CA has come to sign meanwhile');
      }
      await transaction.queries
        .insertInto('certificate')
        .values({
          serial,
          issuer: issuer.id,
          agent: null,
          agent_generation: null,
          role: 'authority',
          purpose: 'authority',
          state: 'issued',
          key_hash: hash('sha256', publicKeyInfo),
          not_before: validity.notBefore,
          not_after: validity.notAfter,
          der,
          token: null,
          policy: null,
          policy_version: null,
          replaces: null,
          issued_at: transaction.now,
          confirmed_at: null,
          request: context.random(16),
        })
        .execute();
      transaction.audit({
        actor: spiffeId,
        action: 'authority.credential',
        subject: toHex(serial),
        outcome: 'done',
        details: { not_after: new Date(validity.notAfter).toISOString() },
      });
    });
    this.#held = {
      issuing: { id: issuer.id, number: issuer.number },
      renewAt: (validity.notBefore + validity.notAfter) / 2,
      credential: {
        chain: [der, ...context.generations.chainOf(issuer)],
        privateKey,
        notAfter: new Date(validity.notAfter),
        spiffeId,
      },
    };
    for (const listener of this.#listeners) listener();
  }
}

interface Held {
  readonly credential: AuthorityCredential;
  readonly issuing: { readonly id: Uint8Array; readonly number: number };
  readonly renewAt: number;
}

/** Names for clients that know nothing of SPIFFE IDs: the hosts of our addresses. */
function hostNames(addresses: readonly string[]) {
  const hosts = addresses.map((address) =>
    address
      .slice(0, address.lastIndexOf(':'))
      .replace(/^\[(.*)\]$/, '$1')
      .toLowerCase(),
  );
  const ipAddresses = hosts.map(parseIpAddress).filter((address) => address !== undefined);
  const dnsNames = hosts.filter((host) => parseIpAddress(host) === undefined && isHostName(host));
  return { dnsNames, ipAddresses };
}

const LIFETIME_SECONDS = 24 * 3600;
const LOOK_EVERY_MS = 60_000;
