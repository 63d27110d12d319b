import { toHex } from '../../bytes/bytes.ts';
import type { HostReport } from '../../gen/sidekey/v1/certificate_authority.ts';
import { ServiceError } from '../../rpc/errors.ts';
import type { Admission, AdmissionClass } from '../admission/admission.ts';
import type { Caller } from '../context.ts';
import { crashPoint } from '../crash-points.ts';
import { confirmOperation } from '../issue/confirm-operation.ts';
import { createEnrollOperation, type EnrollItem } from '../issue/enroll-operation.ts';
import type { Issued } from '../issue/issued.ts';
import type { IssuingContext } from '../issue/issuing-context.ts';
import { type RefusalReason, Refused } from '../issue/refusal.ts';
import { createRenewOperation, type RenewItem } from '../issue/renew-operation.ts';
import type { Operation } from '../write/operation.ts';
import type { CertifiedKeys } from './certified-keys.ts';
import type { IssuanceKind, IssuanceMetrics } from './issuance-metrics.ts';
import { callerOf, type PeerIdentity } from './peer-identity.ts';
import { confirmContent, renewalContent } from './proof.ts';
import type { RefusalLog } from './refusal-log.ts';
import { RequestCheck } from './request-check.ts';

/** Where a call comes from. */
export interface CallOrigin {
  readonly peer: PeerIdentity;
  /** Address, without port: what is counted by source. */
  readonly source: string;
}

export interface EnrollCall extends CallOrigin {
  readonly token: string;
  readonly tlsRequest: Uint8Array;
  /** Empty: none is wanted. */
  readonly decryptionRequest: Uint8Array;
  readonly report: HostReport | undefined;
}

export interface RenewCall extends EnrollCall {
  readonly proof: Uint8Array;
  readonly currentSerial: Uint8Array;
}

export interface ConfirmCall extends CallOrigin {
  readonly serial: Uint8Array;
  readonly proof: Uint8Array;
}

export interface IssuanceParts {
  readonly context: IssuingContext;
  /** `open`: also for peers without any credential. */
  readonly mode: 'closed' | 'open';
  readonly admission: Admission;
  readonly metrics: IssuanceMetrics;
  readonly refusals: RefusalLog;
  readonly certifiedKeys: CertifiedKeys;
}

/**
 * Answers hosts that ask for certificates, the cheap checks before the dear ones: who may ask at all,
 * the form of the token, its end, its signature, the requests, the proof, and then the store. Whatever
 * is wrong, a host hears only that it is refused.
 */
export class Issuance {
  readonly #parts: IssuanceParts;
  readonly #check: RequestCheck;
  readonly #enroll: Operation<EnrollItem, Issued>;
  readonly #renew: Operation<RenewItem, Issued>;

  constructor(parts: IssuanceParts) {
    this.#parts = parts;
    this.#check = new RequestCheck(parts.context, parts.refusals);
    this.#enroll = createEnrollOperation(parts.context);
    this.#renew = createRenewOperation(parts.context);
  }

  /** Rejects with `ServiceError`: `refused`, or `busy` with a time to come again. */
  enroll(call: EnrollCall): Promise<Issued> {
    return this.#serve('enroll', 'enroll', call, async (caller, request) => {
      const { token, keys, report } = await this.#check.genuine('enroll', call, caller, request);
      const item = { token, ...keys, report, caller, request };
      return await this.#parts.context.writer.submit(this.#enroll, item);
    });
  }

  /** Rejects as {@link enroll}. */
  renew(call: RenewCall): Promise<Issued> {
    return this.#serve('renew', 'renew', call, async (caller, request) => {
      const { peer, currentSerial, proof } = call;
      const content = renewalContent(call.tlsRequest, call.decryptionRequest, call.token);
      // The key may be known from the connection; it is the certificate that counts, in the store.
      const own =
        peer.kind === 'host' && sameSerial(peer.certificate.serialNumber, currentSerial)
          ? { publicKeyInfo: peer.certificate.publicKeyInfo, content, signature: proof }
          : undefined;
      const checked = await this.#check.genuine('renew', call, caller, request, own);
      const { token, keys, report } = checked;
      if (own === undefined) {
        const reason = await this.#proofProblem(currentSerial, content, proof);
        if (reason !== undefined) {
          throw await this.#check.refuse({
            action: 'renew',
            subject: token.id,
            reason,
            caller,
            request,
          });
        }
      }
      const item = { token, ...keys, currentSerial, report, caller, request };
      return await this.#parts.context.writer.submit(this.#renew, item);
    });
  }

  /** Rejects as {@link enroll}. */
  confirm(call: ConfirmCall): Promise<void> {
    return this.#serve('confirm', 'renew', call, async (caller, request) => {
      const { serial, proof } = call;
      const reason =
        serial.length === SERIAL_BYTES
          ? await this.#proofProblem(serial, confirmContent(serial), proof)
          : 'request_malformed';
      if (reason !== undefined) {
        const action = 'certificate.confirm';
        const subject = serial.subarray(0, SERIAL_BYTES);
        throw await this.#check.refuse({ action, subject, reason, caller, request });
      }
      await this.#parts.context.writer.submit(confirmOperation, { serial, caller, request });
      return undefined;
    });
  }

  /** Why a signature is not by the key of a certificate of ours. */
  async #proofProblem(
    serial: Uint8Array,
    content: Uint8Array,
    signature: Uint8Array,
  ): Promise<RefusalReason | undefined> {
    if (serial.length !== SERIAL_BYTES) return 'request_malformed';
    const publicKeyInfo = await this.#parts.certifiedKeys.find(serial);
    if (publicKeyInfo === undefined) return 'certificate_unknown';
    const task = { publicKeyInfo, content, signature };
    return (await this.#parts.context.pool.verify(task)) ? undefined : 'proof_wrong';
  }

  async #serve<T extends Issued | undefined>(
    kind: IssuanceKind,
    admissionClass: AdmissionClass,
    { peer, source }: CallOrigin,
    work: (caller: Caller, request: Uint8Array) => Promise<T>,
  ): Promise<T> {
    const { admission, metrics, mode, context } = this.#parts;
    const started = performance.now();
    let admitted;
    try {
      admitted = admission.admit(admissionClass, budgetOf(peer, source));
      if (peer.kind === 'none' && mode === 'closed') throw new Refused('credential_missing');
      const request = Uint8Array.from(context.random(16));
      const result = await work({ name: callerOf(peer), source }, request);
      admitted.end(true);
      metrics.issued(kind, howOf(result));
      crashPoint(`${kind}.before_reply`);
      return result;
    } catch (error) {
      const refusal = this.#explain(kind, error);
      // A refusal is the source's doing; that we cannot just now is not.
      admitted?.end(!(refusal instanceof Refused));
      metrics.refused(kind, refusal instanceof Refused ? refusal.detail : refusal.reason);
      throw refusal;
    } finally {
      metrics.took(kind, (performance.now() - started) / 1000);
    }
  }

  #explain(kind: IssuanceKind, error: unknown): ServiceError {
    if (error instanceof Refused) return error;
    if (error instanceof ServiceError) {
      // All who have to come again get slots of their own.
      if (error.status !== 'UNAVAILABLE' || error.retryAfterMs > 0) return error;
      return new ServiceError(error.status, error.reason, error.message, {
        retryAfterMs: this.#parts.admission.retryAfterMs(),
      });
    }
    this.#parts.context.log.error({ err: error, kind }, 'a request could not be served');
    return new ServiceError('UNAVAILABLE', 'internal', 'the authority cannot answer now', {
      retryAfterMs: this.#parts.admission.retryAfterMs(),
    });
  }
}

/** Whose failures count: a host that proved its name does not pay for its neighbours behind one address. */
function budgetOf(peer: PeerIdentity, source: string): string {
  return peer.kind === 'host' ? peer.spiffeId : source;
}

function howOf(result: Issued | undefined): 'new' | 'replayed' | 'late' {
  if (result?.replayed === true) return 'replayed';
  return result?.late === true ? 'late' : 'new';
}

function sameSerial(certified: Uint8Array, given: Uint8Array): boolean {
  return toHex(certified) === toHex(given);
}

const SERIAL_BYTES = 16;
