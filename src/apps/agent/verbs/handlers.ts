import {
  eventsQuery,
  heartbeatRequest,
  modeRequest,
  operationRequest,
} from '../../fleet/agent-api/messages.ts';
import { contentTypes, type VerbName } from '../../fleet/agent-api/verbs.ts';
import type { AgentParts } from '../agent-parts.ts';
import type { Handler } from '../requests/request-service.ts';
import { heartbeat } from './heartbeat.ts';
import { hello } from './hello.ts';
import { changeMode } from './mode.ts';
import { recipient } from './recipient.ts';
import { rotate } from './rotate.ts';
import { status } from './status.ts';

/** Every verb with what it does. */
export function handlersOf(parts: AgentParts): Readonly<Record<VerbName, Handler>> {
  const { activation, configurations, operations, record, spool } = parts;
  return {
    health: () => Promise.resolve({}),
    hello: () => Promise.resolve(hello(parts)),
    activate: async (request) => {
      const { idempotencyKey, connection } = request;
      const bundle = await request.bytes(contentTypes.bundle, { secret: true });
      return await activation.activate(idempotencyKey, bundle, connection.manager.text);
    },
    status: () => status(parts),
    events: async (request) => {
      const { after, max } = request.query(eventsQuery);
      return await spool.read(after, max);
    },
    heartbeat: async (request) => {
      const { managerTime } = await request.json(heartbeatRequest);
      return heartbeat(parts, new Date(managerTime));
    },
    configure: async (request) =>
      await configurations.apply(
        await request.bytes(contentTypes.configuration, { secret: false }),
      ),
    recipient: () => Promise.resolve(recipient(parts)),
    effective: () => Promise.resolve(configurations.effective()),
    operate: async (request) => {
      const { idempotencyKey, connection, route } = request;
      const { arguments: given } = await request.json(operationRequest);
      return await operations.start(
        idempotencyKey,
        route.parameter,
        given,
        connection.manager.text,
      );
    },
    operation: (request) => operations.byId(request.route.parameter),
    mode: async (request) =>
      await changeMode(parts, await request.json(modeRequest), request.connection.manager.text),
    rotate: () => rotate(parts),
    deactivate: async () => {
      await activation.deactivate();
      return { state: record.data.state };
    },
  };
}
