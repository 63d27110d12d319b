import { execFile, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';
import { credentials } from '@grpc/grpc-js';
import { expect } from 'chai';
import {
  AdministrationServiceClient,
  type GetStatusResponse,
  RevokeRequest,
  type RevokeResponse,
} from '../../../src/gen/sidekey/v1/administration.ts';
import {
  EnrollIdentityRequest,
  type EnrollIdentityResponse,
  WorkloadServiceClient,
} from '../../../src/gen/sidekey/v1/workload.ts';
import { createAuthorityDialler } from '../../../src/apps/in-process-tls/dial-authority.ts';
import type { RunningAuthority } from '../../../src/apps/authority/run-authority.ts';
import { AdministrationServiceService } from '../../../src/gen/sidekey/v1/administration.ts';
import { CertificateAuthorityServiceService } from '../../../src/gen/sidekey/v1/certificate_authority.ts';
import type { Offload, OffloadSocket } from '../../../src/offload/index.ts';
import { parseEnrolmentBundle } from '../../../src/identity/index.ts';
import { GrpcChannel } from '../../../src/rpc/client/grpc-channel.ts';
import type { GrpcStatusError } from '../../../src/rpc/client/grpc-status.ts';
import { unary } from '../../../src/rpc/client/unary.ts';
import { failure, listen, readBytes } from '../../offload/support/connections.ts';
import { Fleet, type Member } from './fleet.ts';

const local = { 'grpc.use_local_subchannel_pool': 1 };

describe('an authority and its hosts', function () {
  // Threads and stores start from source.
  this.timeout(60_000);
  let fleet: Fleet;

  beforeEach(() => {
    fleet = new Fleet();
  });

  afterEach(async () => {
    await fleet.close();
  });

  async function revoke(authority: RunningAuthority, spiffeId: string): Promise<RevokeResponse> {
    const client = administration(authority);
    const agentId = Buffer.from(spiffeId.split('/').at(-1)!.replaceAll('-', ''), 'hex');
    const request = RevokeRequest.fromPartial({
      idempotencyKey: spiffeId.slice(-36),
      subject: { $case: 'agentId', value: agentId },
      reason: 'keyCompromise',
    });
    try {
      return await answerOf((callback) => client.revoke(request, callback));
    } finally {
      client.close();
    }
  }

  /** A server and a client of two hosts, connected. */
  async function pair(
    server: Offload,
    client: Offload,
    serverId: string,
  ): Promise<readonly [atServer: OffloadSocket, atClient: OffloadSocket, close: () => void]> {
    const listener = server.createServer({});
    listener.on('tlsClientError', () => undefined);
    const port = await listen(listener);
    const accepted = once(listener, 'secureConnection') as Promise<[OffloadSocket]>;
    const targetIdentities = [serverId];
    const atClient = client.connect({ port, host: '127.0.0.1', targetIdentities });
    const [[atServer]] = await Promise.all([accepted, once(atClient, 'secureConnect')]);
    // The revoked side is told by an alert.
    for (const socket of [atServer, atClient]) socket.on('error', () => undefined);
    return [atServer, atClient, () => void listener.close()];
  }

  async function shakeHands(server: Offload, client: Offload, serverId: string): Promise<void> {
    const [atServer, atClient, close] = await pair(server, client, serverId);
    atClient.write('ping');
    expect((await readBytes(atServer, 4)).toString()).to.equal('ping');
    atClient.destroy();
    atServer.destroy();
    close();
  }

  async function twoHosts(authority: RunningAuthority) {
    const [left, right] = [await fleet.startHost(), await fleet.startHost()];
    const leftId = await fleet.enroll(authority, left);
    const rightId = await fleet.enroll(authority, right);
    return { left, right, leftId, rightId };
  }

  it('lets enrolled hosts talk, and ends their connections when one is revoked', async () => {
    const { running } = await fleet.startAuthority();
    const { left, right, leftId, rightId } = await twoHosts(running);
    const [a, b] = [fleet.application(left), fleet.application(right)];
    const [atServer, atClient, close] = await pair(a, b, leftId);
    expect(atClient.peerIdentity).to.equal(leftId);
    expect(atServer.peerIdentity).to.equal(rightId);
    const outward = await pair(b, a, rightId);
    for (const socket of [atServer, outward[1]]) {
      while (!(await follows(left))) await turn();
      expect(socket.destroyed).to.equal(false);
    }
    const started = performance.now();
    const ends = [failure(atServer), failure(outward[1])];
    await revoke(running, rightId);
    const errors = await Promise.all(ends);
    const tookMs = performance.now() - started;
    for (const error of errors) expect(error).to.include({ code: 'ERR_OFFLOAD_PEER_REVOKED' });
    expect(tookMs).to.be.below(2000);
    // Neither by a session there was, nor in full; and the host itself knows that it is out.
    const listener = a.createServer({});
    const port = await listen(listener);
    const refused = once(listener, 'tlsClientError') as Promise<[Record<string, unknown>]>;
    const again = b.connect({ port, host: '127.0.0.1', targetIdentities: [leftId] });
    const error = await failure(again);
    expect(error['reason'], error.message).to.be.oneOf(['certificate_revoked', 'identity_revoked']);
    if (error['reason'] === 'certificate_revoked') {
      expect((await refused)[0]).to.include({ code: 'CERT_REVOKED' });
    }
    const identity = right.composition.identities.all.get('host')!;
    while (identity.status.state !== 'revoked') await turn();
    expect(identity.current).to.equal(undefined);
    listener.close();
    close();
    outward[2]();
    process.stdout.write(
      `      closed both live connections ${tookMs.toFixed(0)} ms after revoke\n`,
    );
  });

  it('goes on with the authority away, also after a restart of the hosts', async () => {
    const { running, composition, config } = await fleet.startAuthority();
    const { left, right, leftId } = await twoHosts(running);
    await composition.close();
    await shakeHands(fleet.application(left), fleet.application(right), leftId);
    const restarted = await fleet.restart(left);
    const rightAgain = await fleet.restart(right);
    await shakeHands(fleet.application(restarted), fleet.application(rightAgain), leftId);
    const again = await fleet.startAgain(config);
    expect(again.running.problems()).to.deep.equal([]);
  });

  it('stops in order while hosts follow it, and keeps nothing of them waiting', async () => {
    const { running, composition } = await fleet.startAuthority();
    const host = await fleet.startHost();
    await fleet.enroll(running, host);
    while (running.authority.trust.followers === 0) await turn();
    const started = performance.now();
    await composition.drain(20_000);
    expect(performance.now() - started).to.be.below(15_000);
    expect(host.composition.identities.all.get('host')!.status.state).to.equal('enrolled');
  });

  it('tells hosts when it is to be reached elsewhere', async () => {
    const { running, composition, config } = await fleet.startAuthority();
    const host = await fleet.startHost();
    await fleet.enroll(running, host);
    const { address } = running;
    await composition.close();
    const advertise = [address, 'ca.example.org:8443'];
    await fleet.startAgain({ ...config, authority: { ...config.authority!, advertise } });
    const identity = host.composition.identities.all.get('host')!;
    while (identity.trust?.sequence !== 2) await turn();
    expect(identity.trust.addresses).to.deep.equal(advertise);
  });

  it('enrols over the unix socket of the sidecar, once', async () => {
    const { running } = await fleet.startAuthority();
    const host = await fleet.startHost();
    const bundle = Buffer.from(await fleet.mint(running));
    const client = new WorkloadServiceClient(
      host.composition.sidecar.address,
      credentials.createInsecure(),
      local,
    );
    const request = EnrollIdentityRequest.fromPartial({ identity: '', bundle });
    const first = await answerOf<EnrollIdentityResponse>((callback) =>
      client.enrollIdentity(request, callback),
    );
    expect(first.alreadyEnrolled).to.equal(false);
    const second = await answerOf<EnrollIdentityResponse>((callback) =>
      client.enrollIdentity(request, callback),
    );
    expect(second).to.deep.include({ spiffeId: first.spiffeId, alreadyEnrolled: true });
    const other = { identity: 'host', bundle: Buffer.from(await fleet.mint(running)) };
    const error = await answerOf((callback) => client.enrollIdentity(other, callback)).then(
      () => undefined,
      (refusal: unknown) => refusal as Error,
    );
    expect(error?.message).to.contain('FAILED_PRECONDITION');
    client.close();
  });

  it('serves its administration to the owner, and to operators over TLS', async () => {
    const { running } = await fleet.startAuthority();
    const client = administration(running);
    const status = await answerOf<GetStatusResponse>((callback) => client.getStatus({}, callback));
    expect(status).to.include({ trustDomain: 'example.org', enrolmentMode: 'closed' });
    expect(status.problems).to.deep.equal([]);
    client.close();
    for (const [role, allowed] of [
      ['operator', true],
      ['agent', false],
    ] as const) {
      const host = await fleet.startHost();
      await fleet.enroll(running, host, role);
      const channel = channelOf(running, host);
      const outcome = await unary(channel, AdministrationServiceService.getStatus, {}).then(
        ({ trustDomain }) => trustDomain,
        reasonOf,
      );
      expect(outcome).to.equal(allowed ? 'example.org' : 'not_an_operator');
      await channel.close();
    }
  });

  it('lets the credential of a bundle do nothing but enrol', async () => {
    const { running } = await fleet.startAuthority();
    const bundle = parseEnrolmentBundle(await fleet.mint(running));
    const channel = new GrpcChannel({
      connect: () =>
        createAuthorityDialler({ now: () => new Date() })(
          [running.address],
          bundle.credential,
          { trustDomain: 'example.org', roots: bundle.roots, intermediates: [] },
          new AbortController().signal,
        ),
      closedError: () => new Error('closed'),
      peer: 'authority',
    });
    const status = await unary(channel, AdministrationServiceService.getStatus, {}).catch(reasonOf);
    expect(status).to.equal('not_an_operator');
    const confirmed = await unary(channel, CertificateAuthorityServiceService.confirm, {
      serial: Buffer.alloc(16, 1),
      proof: Buffer.alloc(64),
    }).catch((error: unknown) => (error as GrpcStatusError).details);
    expect(confirmed).to.contain('refuses');
    await channel.close();
  });

  describe('to a host without a bundle', () => {
    const stranger = { rejectUnauthorized: false, host: '127.0.0.1' };
    const offers: Readonly<Record<string, ConnectionOptions>> = {
      'as browsers do': { ALPNProtocols: ['h2', 'http/1.1'] },
      'without ALPN': {},
      'TLS 1.3 only': { minVersion: 'TLSv1.3', ALPNProtocols: ['h2'] },
      'TLS 1.2 only': { maxVersion: 'TLSv1.2', ALPNProtocols: ['h2'] },
    };

    it('closes every port in closed mode', async () => {
      const { running } = await fleet.startAuthority('  http: { address: 127.0.0.1:0 }\n');
      const { left } = await twoHosts(running);
      const application = fleet.application(left).createServer({ ALPNProtocols: ['h2'] });
      application.on('tlsClientError', () => undefined);
      const ports = {
        enrolment: portOf(running.address),
        http: portOf(running.http ?? ''),
        metrics: portOf(left.composition.sidecar.adminAddress ?? ''),
        application: await listen(application),
      };
      for (const [name, port] of Object.entries(ports)) {
        for (const [how, options] of Object.entries(offers)) {
          expect(await completes({ ...stranger, ...options, port }), `${name}, ${how}`).to.equal(
            false,
          );
        }
        for (const version of ['-tls1_2', '-tls1_3']) {
          expect(await openSslCompletes(port, version), `${name}, openssl ${version}`).to.equal(
            false,
          );
        }
      }
      application.close();
    });

    it('opens the enrolment port in open mode, to enrol only', async () => {
      const { running } = await fleet.startAuthority('  enrolment: open\n');
      const port = portOf(running.address);
      expect(await completes({ ...stranger, ...offers['as browsers do'], port })).to.equal(true);
    });
  });

  it('shows in metrics and readiness what the authority does', async () => {
    const { composition, directory } = await fleet.startAuthority(
      'admin: { address: 127.0.0.1:0 }\nlisten: [{ address: "unix:./s.sock" }]\nidentities: { own: { enrolled: true } }\n',
    );
    const address = composition.sidecar.adminAddress ?? '';
    expect(directory).to.not.equal('');
    const ready = await fetch(`http://${address}/readyz`);
    expect(await ready.text()).to.equal('identity own: "own" has not enrolled yet');
    const metrics = await (await fetch(`http://${address}/metrics`)).text();
    expect(metrics).to.contain('sidekey_authority_connections 0');
    expect(metrics).to.contain('sidekey_authority_bundle_sequence 1');
  });
});

function administration(authority: RunningAuthority): AdministrationServiceClient {
  return new AdministrationServiceClient(
    authority.administration,
    credentials.createInsecure(),
    local,
  );
}

/** A channel to the authority as the identity of a host. */
function channelOf(authority: RunningAuthority, host: Member): GrpcChannel {
  const { current, trust } = host.composition.identities.all.get('host')!;
  return new GrpcChannel({
    connect: () =>
      createAuthorityDialler({ now: () => new Date() })(
        [authority.address],
        current!,
        trust!,
        new AbortController().signal,
      ),
    closedError: () => new Error('closed'),
    peer: 'authority',
  });
}

async function follows({ composition }: Member): Promise<boolean> {
  const { status } = composition.identities.all.get('host')!;
  await turn();
  return status.trustReceivedAt !== undefined && status.feedSequence >= 0;
}

async function turn(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

function answerOf<T>(
  call: (callback: (error: Error | null, answer: T) => void) => unknown,
): Promise<T> {
  return new Promise((resolve, reject) => {
    call((error, answer) => {
      if (error === null) resolve(answer);
      else reject(error);
    });
  });
}

function reasonOf(error: unknown): string | undefined {
  return (error as GrpcStatusError).advice.reason;
}

function portOf(address: string): number {
  return Number(address.split(':').at(-1));
}

/** Whether a handshake ends well and stays so: in TLS 1.3 a client is refused after its own end of it. */
async function completes(options: ConnectionOptions): Promise<boolean> {
  const socket = connectTls(options);
  return await new Promise((resolve) => {
    socket.on('secureConnect', () => {
      // HTTP/2 servers speak first.
      socket.once('data', () => {
        socket.destroy();
        resolve(true);
      });
    });
    socket.on('error', () => {
      resolve(false);
    });
    socket.on('close', () => {
      // Secure, but the server said nothing: it had refused.
      resolve(false);
    });
  });
}

function openSslCompletes(port: number, version: string): Promise<boolean> {
  if (spawnSync('openssl', ['version']).status !== 0) return Promise.resolve(false);
  return new Promise((resolve) => {
    const child = execFile(
      'openssl',
      ['s_client', '-connect', `127.0.0.1:${String(port)}`, version, '-alpn', 'h2', '-brief'],
      (_error, stdout, stderr) => {
        resolve((stdout + stderr).includes('CONNECTION ESTABLISHED'));
      },
    );
    child.stdin?.end();
  });
}
