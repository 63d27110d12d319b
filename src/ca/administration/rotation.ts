import {
  AdvanceRotationRequest,
  AdvanceRotationResponse,
  type Gate as GateMessage,
  type GetRotationResponse,
} from '../../gen/sidekey/v1/administration.ts';
import { ServiceError } from '../../rpc/errors.ts';
import type { AuthorityContext, Caller } from '../context.ts';
import type { Gate, Rotation, RotationKind, RotationStep } from '../rotation/index.ts';
import { earlierAnswer, recordAnswer } from './idempotency.ts';
import { oneOf } from './search.ts';
import { generationMessage } from './status.ts';
import { bytes } from './wire.ts';

/** Every generation, what each possible step waits for, and the reissue under way. */
export async function readRotation(rotation: Rotation): Promise<GetRotationResponse> {
  const status = await rotation.status();
  const campaign = status.campaigns.find(({ finishedAt }) => finishedAt === undefined);
  return {
    generations: status.generations.map(generationMessage),
    gates: status.gates.map(gateMessage),
    automatic: status.automatic,
    campaign:
      campaign === undefined
        ? undefined
        : {
            startedAt: campaign.startedAt,
            windowSeconds: BigInt(Math.round(campaign.windowMs / 1000)),
            total: BigInt(campaign.total),
            done: BigInt(campaign.done),
          },
  };
}

/**
 * Takes one step of a rotation, once for each idempotency key.
 *
 * @throws ServiceError as `Rotation.advance`, and `INVALID_ARGUMENT`
 */
export async function advanceRotation(
  context: AuthorityContext,
  rotation: Rotation,
  request: AdvanceRotationRequest,
  caller: Caller,
): Promise<AdvanceRotationResponse> {
  const kind = required('kind', oneOf('kind', request.kind, kinds));
  const step = required('step', oneOf('step', request.step, steps));
  const reason = request.reason.trim();
  const force = request.force || step === 'taint';
  if (force && reason === '') {
    throw new ServiceError(
      'INVALID_ARGUMENT',
      'reason_missing',
      'a step is forced, or a key tainted, only with a reason, which is audited',
    );
  }
  const call = {
    caller,
    key: request.idempotencyKey,
    method: 'AdvanceRotation',
    request: AdvanceRotationRequest.encode(request).finish(),
  };
  const earlier = await earlierAnswer(context.store.queries, call, context.now().getTime());
  if (earlier !== undefined) return AdvanceRotationResponse.decode(earlier);
  const generation = await rotation.advance({
    kind,
    step,
    caller,
    ...(request.number === 0 ? {} : { number: request.number }),
    ...(force ? { force: { reason } } : {}),
    ...(request.windowSeconds === 0n ? {} : { windowMs: Number(request.windowSeconds) * 1000 }),
    record: async (transaction, result) => {
      const answer = AdvanceRotationResponse.encode({ generation: generationMessage(result) });
      await recordAnswer(transaction, call, answer.finish());
    },
  });
  return { generation: generationMessage(generation) };
}

function gateMessage(gate: Gate): GateMessage {
  return {
    step: gate.step,
    kind: gate.kind,
    number: gate.number,
    open: gate.open,
    needed: BigInt(gate.needed),
    reached: BigInt(gate.reached),
    laggards: gate.laggards.map(({ agent, name, why }) => ({
      agentId: bytes(agent),
      spiffeId: name,
      why,
    })),
    laggardsTotal: BigInt(gate.laggardsTotal),
    detail: gate.detail,
  };
}

function required<Value>(name: string, value: Value | undefined): Value {
  if (value !== undefined) return value;
  throw new ServiceError('INVALID_ARGUMENT', `${name}_missing`, `${name} is missing`);
}

const kinds: readonly RotationKind[] = ['root', 'issuing', 'enrolment', 'token', 'ticket'];
const steps: readonly RotationStep[] = [
  'prepare',
  'publish',
  'activate',
  'reissue',
  'retire',
  'destroy',
  'rollback',
  'taint',
  'abort',
];
