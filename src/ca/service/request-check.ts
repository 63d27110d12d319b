import type { HostReport } from '../../gen/sidekey/v1/certificate_authority.ts';
import type { Caller } from '../context.ts';
import type { InspectTask, RequestedKey } from '../keys/crypto-protocol.ts';
import { type RefusalReason, Refused } from '../issue/refusal.ts';
import type { IssuingContext } from '../issue/issuing-context.ts';
import { writeHostReport } from '../tls-policy/host-reports.ts';
import { parseToken, type ReceivedToken, signedPart } from '../tokens/token.ts';
import type { PlainRefusal, RefusalLog } from './refusal-log.ts';

/** A request that comes with a token. */
export interface TokenRequest {
  readonly token: string;
  readonly tlsRequest: Uint8Array;
  readonly decryptionRequest: Uint8Array;
  readonly report: HostReport | undefined;
}

/** What is known of it without the store. */
export interface GenuineRequest {
  readonly token: ReceivedToken;
  readonly keys: { readonly tls: RequestedKey; readonly decryption: RequestedKey | undefined };
  /** JSON. */
  readonly report: string | undefined;
}

/** Everything about a request that can be told without the store. */
export class RequestCheck {
  readonly #context: IssuingContext;
  readonly #refusals: RefusalLog;

  constructor(context: IssuingContext, refusals: RefusalLog) {
    this.#context = context;
    this.#refusals = refusals;
  }

  /**
   * Rejects with `Refused`. What comes with a forged token leaves no trace but a count; the refusals
   * of genuine ones are audited.
   */
  async genuine(
    kind: 'enroll' | 'renew',
    call: TokenRequest,
    caller: Caller,
    request: Uint8Array,
    proof?: InspectTask['proof'],
  ): Promise<GenuineRequest> {
    const token = parseToken(call.token);
    if (token === undefined) throw new Refused('token_malformed');
    const key = this.#context.tokenKeys.find(token.keyId);
    if (key === undefined) throw new Refused('token_forged');
    const signed = { content: signedPart(token.payload), signature: token.signature };
    const refuse = (reason: RefusalReason) =>
      this.refuse({ action: kind, subject: token.id, reason, caller, request });

    const obvious = this.#obviousProblem(kind, token, call);
    if (obvious !== undefined) {
      const task = { publicKeyInfo: key.publicKeyInfo, ...signed };
      const isGenuine = await this.#context.pool.verify(task);
      throw isGenuine ? await refuse(obvious) : new Refused('token_forged');
    }
    const { decryptionRequest } = call;
    const inspection = await this.#context.pool.inspect(kind, {
      token: { key: key.pooled.number, ...signed },
      tlsRequest: call.tlsRequest,
      decryptionRequest: decryptionRequest.length === 0 ? undefined : decryptionRequest,
      proof,
    });
    if (!inspection.ok) {
      if (inspection.problem === 'token_forged') throw new Refused('token_forged');
      throw await refuse(problems[inspection.problem] ?? 'request_malformed');
    }
    const { tls, decryption } = inspection;
    const report = call.report && boundedReport(call.report);
    return { token, keys: { tls, decryption }, report };
  }

  /** Notes a refusal in the audit log and answers the error. */
  async refuse(refusal: PlainRefusal): Promise<Refused> {
    await this.#refusals.note(refusal);
    return new Refused(refusal.reason);
  }

  #obviousProblem(
    kind: 'enroll' | 'renew',
    token: ReceivedToken,
    { tlsRequest, decryptionRequest }: TokenRequest,
  ): RefusalReason | undefined {
    if ((kind === 'renew') !== (token.kind === 'renew')) return 'token_kind';
    // A while longer for those who ask again for what they were given at the last moment.
    if (token.expiresAt + REPLAY_MS <= this.#context.now().getTime()) return 'token_expired';
    const isOversize =
      tlsRequest.length > MAX_REQUEST_BYTES || decryptionRequest.length > MAX_REQUEST_BYTES;
    return isOversize ? 'request_malformed' : undefined;
  }
}

/** A host says of itself what it likes, in this much. */
function boundedReport(report: HostReport): string | undefined {
  const text = writeHostReport(report);
  return text.length <= MAX_REPORT ? text : undefined;
}

const problems: Readonly<Record<string, RefusalReason>> = {
  malformed_certificate_request: 'request_malformed',
  unsupported_public_key: 'request_key',
  unsupported_signature_algorithm: 'request_key',
  bad_request_signature: 'request_signature',
  proof_wrong: 'proof_wrong',
};

/** As of the parser of requests. */
const MAX_REQUEST_BYTES = 16 * 1024;
const MAX_REPORT = 32 * 1024;
const REPLAY_MS = 3_600_000;
