import { expect } from 'chai';
import {
  ConfigurationRefusedError,
  openConfiguration,
  sealConfiguration,
} from '../../../../src/apps/fleet/configuration/index.ts';
import type { RunningAuthority } from '../../../../src/apps/authority/run-authority.ts';
import type { Offload } from '../../../../src/offload/index.ts';
import { Fleet, type Member } from '../../authority/fleet.ts';

const content = Buffer.from('{"labels":{"site":"north"}}');

describe('configurations among hosts of a real authority', function () {
  // Threads and stores start from source.
  this.timeout(60_000);
  let fleet: Fleet;
  let authority: RunningAuthority;
  let manager: Offload;

  before(async () => {
    fleet = new Fleet();
    authority = (await fleet.startAuthority()).running;
    manager = (await enrolled('manager')).offload;
  });

  after(async () => {
    await fleet.close();
  });

  interface Host {
    readonly host: Member;
    readonly offload: Offload;
    readonly agentId: string;
  }

  async function enrolled(role: 'manager' | 'agent'): Promise<Host> {
    const host = await fleet.startHost();
    const spiffeId = await fleet.enroll(authority, host, role);
    return { host, offload: fleet.application(host), agentId: spiffeId.split('/').at(-1)! };
  }

  async function recipientCertificate({ offload }: Host): Promise<Uint8Array> {
    const { identities } = await offload.listIdentities();
    return identities[0]!.decryptionCertificates[0]!;
  }

  async function seal(agent: Host, by = manager): Promise<Uint8Array> {
    return await sealConfiguration({
      content,
      agentId: agent.agentId,
      version: 1,
      notAfter: new Date(Date.now() + 3_600_000),
      recipientCertificate: await recipientCertificate(agent),
      workload: by.workload,
    });
  }

  const open = ({ offload, agentId }: Host, der: Uint8Array) =>
    openConfiguration({ der, agentId, now: new Date(), workload: offload.workload });

  async function refusal(opening: Promise<unknown>): Promise<string> {
    const error = await opening.catch((reason: unknown) => reason);
    return error instanceof ConfigurationRefusedError ? error.reason : String(error);
  }

  it('open at their agent, and at no other', async () => {
    const [agent, other] = [await enrolled('agent'), await enrolled('agent')];
    const der = await seal(agent);
    const opened = await open(agent, der);
    expect(opened.content).to.deep.equal(content);
    expect(opened.signer).to.match(/^spiffe:\/\/example\.org\/manager\//u);
    expect(await refusal(open(other, der))).to.equal('not_for_this_host');
  });

  it('are signed by no agent', async () => {
    const agent = await enrolled('agent');
    const error: unknown = await seal(agent, agent.offload).catch((reason: unknown) => reason);
    expect(error).to.include({ code: 'ERR_OFFLOAD_DENIED', reason: 'not_a_manager' });
  });

  it('open across a renewal, which brings a new key', async () => {
    const agent = await enrolled('agent');
    const before = await seal(agent);
    await agent.offload.workload.renew();
    expect((await open(agent, before)).version).to.equal(1);
    expect((await open(agent, await seal(agent))).version).to.equal(1);
  });
});
