import type { AdministrationServiceServer } from '../../gen/sidekey/v1/administration.ts';
import { verifyAudit } from '../audit/verify.ts';
import { checkInvariants } from '../check/check.ts';
import type { AuthorityContext } from '../context.ts';
import type { Rotation } from '../rotation/index.ts';
import { backUp } from './back-up.ts';
import { changeAgentState } from './change-agent.ts';
import { diagnose } from './diagnose/diagnose.ts';
import type { AuthorityFacts } from './facts.ts';
import { type HandlerServices, streaming, unary } from './handlers.ts';
import { listAgents } from './list-agents.ts';
import { listAudit } from './list-audit.ts';
import { listCertificates } from './list-certificates.ts';
import { listTokens } from './list-tokens.ts';
import { createRecovery, createTokens, type TokenMint } from './mint.ts';
import { listPolicies, putPolicy } from './policies.ts';
import { revoke, revokeTokensOnly } from './revoke.ts';
import { advanceRotation, readRotation } from './rotation.ts';
import { readStatus } from './status.ts';
import { changeTlsPolicy, readTlsPolicy } from './tls.ts';
import { bytes } from './wire.ts';

/** What an authority is administered through. */
export interface AdministrationOptions {
  readonly context: AuthorityContext;
  readonly facts: AuthorityFacts;
  readonly rotation: Rotation;
  readonly mint: TokenMint;
  /** See {@link HandlerServices.identify}. */
  readonly identify: HandlerServices['identify'];
}

/** Handlers of the administration service, for every listener that may serve it. */
export function createAdministration(options: AdministrationOptions): AdministrationServiceServer {
  const { context, facts, rotation, mint } = options;
  const { queries } = context.store;
  const services: HandlerServices = { identify: options.identify, log: context.log };
  return {
    getStatus: unary(services, async () => {
      const { generations } = await rotation.status();
      return await readStatus(context, facts, generations);
    }),
    createTokens: streaming(services, (request, caller) => createTokens(mint, request, caller)),
    listTokens: unary(services, (request) => listTokens(queries, request, context.now())),
    revokeTokens: unary(services, (request, caller) => revokeTokensOnly(context, request, caller)),
    listAgents: unary(services, (request) => listAgents(queries, request)),
    changeAgent: unary(services, (request, caller) => changeAgentState(context, request, caller)),
    createRecovery: unary(services, (request, caller) => createRecovery(mint, request, caller)),
    revoke: unary(services, (request, caller) => revoke(context, request, caller)),
    listCertificates: unary(services, (request) =>
      listCertificates(queries, request, context.now()),
    ),
    getRotation: unary(services, () => readRotation(rotation)),
    advanceRotation: unary(services, (request, caller) =>
      advanceRotation(context, rotation, request, caller),
    ),
    getTlsPolicy: unary(services, (request) => readTlsPolicy(context, facts, request)),
    setTlsPolicy: unary(services, (request, caller) =>
      changeTlsPolicy(context, facts, request, caller),
    ),
    listPolicies: unary(services, () => listPolicies(queries)),
    putPolicy: unary(services, (request, caller) => putPolicy(context, request, caller)),
    listAudit: unary(services, (request) => listAudit(queries, request)),
    verifyAudit: unary(services, async () => {
      const verdict = await verifyAudit(queries);
      return verdict.ok
        ? { entries: BigInt(verdict.entries), head: bytes(verdict.head), problem: '' }
        : {
            entries: BigInt(verdict.entries),
            head: Buffer.alloc(0),
            problem: `entry ${String(verdict.seq)}: ${verdict.problem}`,
          };
    }),
    diagnose: unary(services, async () => ({ findings: await diagnose(context, facts) })),
    checkInvariants: unary(services, async () => {
      const violations = await context.store.snapshot((moment) =>
        checkInvariants(moment, { now: context.now() }),
      );
      return { violations: violations.map((violation) => ({ ...violation })) };
    }),
    backUp: unary(services, (request, caller) => backUp(context, request, caller)),
  };
}
