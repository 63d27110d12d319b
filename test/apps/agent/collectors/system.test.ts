import { readFileSync, statfsSync } from 'node:fs';
import { hostname } from 'node:os';
import { expect } from 'chai';
import { diskFacts, systemFacts } from '../../../../src/apps/agent/collectors/system.ts';

describe('the system an agent tells of', () => {
  it('is the one it runs on', async () => {
    const { memory, ...facts } = await systemFacts();
    expect(facts.hostname).to.equal(hostname());
    expect(facts.system).to.match(/^Linux \d/u);
    expect(facts.load).to.have.length(3);
    const uptime = Number(readFileSync('/proc/uptime', 'latin1').split(' ')[0]);
    expect(facts.uptimeSeconds).to.be.closeTo(uptime, 5);
    const total = Number(/^MemTotal:\s+(\d+)/u.exec(readFileSync('/proc/meminfo', 'latin1'))?.[1]);
    expect(memory.totalBytes).to.be.closeTo(total * 1024, total * 100);
    expect(memory.availableBytes).to.be.within(1, memory.totalBytes);
  });

  it('has the disks that are asked for, without those it has not', async () => {
    const [disk, ...more] = await diskFacts(['/', '/no/such/place']);
    expect(more).to.deep.equal([]);
    const { bsize, blocks } = statfsSync('/');
    expect(disk).to.include({ path: '/', totalBytes: bsize * blocks });
    expect(disk!.availableBytes).to.be.within(0, bsize * blocks);
  });
});
