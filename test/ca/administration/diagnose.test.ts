import { chmod } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import type { AuthorityFacts } from '../../../src/ca/administration/index.ts';
import { writeHostReport } from '../../../src/ca/tls-policy/host-reports.ts';
import {
  AdministrationServiceService as Administration,
  type Finding,
} from '../../../src/gen/sidekey/v1/administration.ts';
import { HostReport } from '../../../src/gen/sidekey/v1/certificate_authority.ts';
import {
  type AdministeredAuthority,
  plantAgent,
  plantToken,
  startAdministeredAuthority,
} from './administered-authority.ts';
import { clientOf } from './calls.ts';

const start = new Date('2026-11-22T12:00:00Z').getTime();
const hour = 3_600_000;

/** What the doctor finds once the world is as `prepare` leaves it. */
async function findingsAfter(
  prepare: (authority: AdministeredAuthority, clock: { at: number }) => unknown,
  facts: Partial<AuthorityFacts> = {},
): Promise<readonly Finding[]> {
  const clock = { at: start };
  const authority = await startAdministeredAuthority({ now: () => new Date(clock.at), facts });
  const client = clientOf(authority);
  try {
    await prepare(authority, clock);
    return (await client.call(Administration.diagnose, {})).findings;
  } finally {
    await client.close();
    await authority.close();
  }
}

interface Case {
  readonly name: string;
  readonly check: string;
  readonly severity: string;
  readonly says: string;
  readonly facts?: Partial<AuthorityFacts>;
  readonly prepare?: (authority: AdministeredAuthority, clock: { at: number }) => unknown;
}

const cases: readonly Case[] = [
  {
    name: 'that nothing is issued',
    check: 'issuing',
    severity: 'error',
    says: 'the disk is full',
    facts: { problems: () => ['the disk is full'] },
  },
  {
    name: 'an open enrolment port',
    check: 'enrolment_mode',
    severity: 'warning',
    says: 'any host',
    facts: { enrolmentMode: 'open' },
  },
  {
    name: 'keys without a passphrase',
    check: 'key_protection',
    severity: 'warning',
    says: 'without a passphrase',
    facts: { keysProtected: false },
  },
  {
    name: 'a CA that ends soon',
    check: 'authority_certificates',
    severity: 'error',
    says: 'root CA ends on',
    prepare: (_, clock) => (clock.at += 9.9 * 365 * 24 * hour),
  },
  {
    name: 'an agent whose certificate has expired',
    check: 'agents_expiring',
    severity: 'error',
    says: 'expired: spiffe://example.org/agent/',
    prepare: (authority) =>
      plantAgent(authority, { notBefore: start - 2 * hour, notAfter: start - hour }),
  },
  {
    name: 'an agent that does not renew',
    check: 'agents_expiring',
    severity: 'warning',
    says: 'last tenth',
    prepare: (authority) =>
      plantAgent(authority, { notBefore: start - 23 * hour, notAfter: start + hour }),
  },
  {
    name: 'a copied identity',
    check: 'agents_quarantined',
    severity: 'warning',
    says: 'two holders',
    prepare: (authority) => plantAgent(authority, { state: 'quarantined' }),
  },
  {
    name: 'an agent that waits to be activated',
    check: 'agents_waiting',
    severity: 'warning',
    says: 'waiting for activation',
    prepare: (authority) => plantAgent(authority, { state: 'enrolled' }),
  },
  {
    name: 'an agent that is gone',
    check: 'agents_unheard',
    severity: 'warning',
    says: 'not heard of for an hour',
    prepare: async (authority, clock) => {
      await plantAgent(authority, { notAfter: start + 100 * hour });
      clock.at += 2 * hour;
    },
  },
  {
    name: 'a host with a clock that is ahead',
    check: 'host_clocks',
    severity: 'warning',
    says: 'ahead',
    prepare: (authority) =>
      plantAgent(authority, {
        report: writeHostReport(HostReport.fromPartial({ hostTime: new Date(start + 2 * hour) })),
      }),
  },
  {
    name: 'peers that tried less than the floor',
    check: 'tls_attempts',
    severity: 'warning',
    says: '5 handshakes below the floor were refused, of peers such as 192.0.2.9',
    prepare: (authority) =>
      plantAgent(authority, {
        report: writeHostReport(
          HostReport.fromPartial({
            listeners: [
              {
                name: 'sidecar',
                attempts: [{ peer: '192.0.2.9', offered: 'TLSv1.0', count: 5n }],
              },
            ],
          }),
        ),
      }),
  },
  {
    name: 'tokens that are good for long',
    check: 'tokens',
    severity: 'warning',
    says: '1 unused tokens',
    prepare: ({ context }) => plantToken(context, { expiresAt: start + 8 * 24 * hour }),
  },
  {
    name: 'a store that was never backed up',
    check: 'backup',
    severity: 'warning',
    says: 'never backed up',
  },
  {
    name: 'an old backup',
    check: 'backup',
    severity: 'warning',
    says: 'the last backup is of 2026-11-22',
    prepare: async (authority, clock) => {
      await back(authority);
      clock.at += 8 * 24 * hour;
    },
  },
  {
    name: 'CRLs that are not built',
    check: 'crl',
    severity: 'error',
    says: 'issuing 1',
    facts: { publicUrl: 'http://ca.example.org' },
  },
  {
    name: 'a state directory that others can look into',
    check: 'permissions',
    severity: 'warning',
    says: 'mode 755',
    prepare: ({ directory }) => chmod(directory, 0o755),
  },
];

async function back(authority: AdministeredAuthority): Promise<void> {
  const client = clientOf(authority);
  await client.call(Administration.backUp, { path: join(authority.directory, 'copy.db') });
  await client.close();
}

describe('doctor of an authority', () => {
  it('finds nothing wrong where nothing is', async () => {
    const findings = await findingsAfter(async (authority) => {
      await plantAgent(authority);
      await back(authority);
    });
    const wrong = findings.filter(({ severity, check }) => severity !== 'ok' && check !== 'disk');
    expect(wrong).to.deep.equal([]);
    expect(findings).to.have.length.above(15);
  });

  for (const { name, check, severity, says, facts, prepare } of cases) {
    it(`finds ${name}, and says what to do`, async () => {
      const findings = await findingsAfter(prepare ?? (() => undefined), facts);
      const found = findings.find((each) => each.check === check && each.message.includes(says));
      expect(found, JSON.stringify(findings.filter((each) => each.check === check))).to.include({
        severity,
      });
      expect(found?.remedy).to.not.equal('');
    });
  }

  it('puts what is worst first', async () => {
    const findings = await findingsAfter(() => undefined, {
      problems: () => ['no'],
      enrolmentMode: 'open',
    });
    const order = findings.map(({ severity }) => ['error', 'warning', 'ok'].indexOf(severity));
    expect(order).to.deep.equal([...order].sort((a, b) => a - b));
  });
});
