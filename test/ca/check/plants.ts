/** A change nobody may make, as somebody with the database in his hands would make it. */
export interface Plant {
  readonly what: string;
  readonly invariant: string;
  readonly finds: RegExp;
  readonly statements: readonly string[];
}

// Rows of the store `invariants.test.ts` makes.
const spent = `(select id from token where kind = 'enroll' and uses = 1 order by id limit 1)`;
const active = `(select id from agent where state = 'active' order by id limit 1)`;
const other = `(select id from agent where state = 'active' order by id desc limit 1)`;
const banned = `(select id from agent where state = 'banned')`;
const current = `(select current_serial from agent where id = ${active})`;
const root = `(select id from ca_generation where kind = 'root' and number = 1)`;
const issuing = `(select id from ca_generation where kind = 'issuing' and state = 'signing')`;
const manyHours = 1_000_000_000;

export const plants: readonly Plant[] = [
  {
    what: 'a token used more often than it was redeemed',
    invariant: 'I1',
    finds: /uses of the token/,
    statements: [`update token set cap = 2, uses = 2 where id = ${spent}`],
  },
  {
    what: 'a redemption beyond the cap',
    invariant: 'I1',
    finds: /uses of the token/,
    statements: [`update redemption set slot = 1 where token = ${spent}`],
  },
  {
    what: 'two agents from one token',
    invariant: 'I1',
    finds: /as many agents/,
    statements: [
      `update agent set source_token = (select source_token from agent where id = ${active}) where id = ${other}`,
    ],
  },
  {
    what: 'an agent from nowhere',
    invariant: 'I1',
    finds: /no redemption/,
    statements: [
      `update redemption set agent = ${other} where token = (select source_token from agent where id = ${active})`,
    ],
  },
  {
    what: 'another answer for a key',
    invariant: 'I2',
    finds: /not a certificate for that key/,
    statements: [
      `update redemption set serial = (select serial from certificate where agent = ${other} and purpose = 'tls' limit 1) where serial = ${current}`,
    ],
  },
  {
    what: 'a renewal token that is gone',
    invariant: 'I2',
    finds: /without a renewal token/,
    statements: [`delete from token where kind = 'renew' and agent = ${active} and uses = 0`],
  },
  {
    what: 'another certificate under a serial number',
    invariant: 'I4',
    finds: /another serial number/,
    statements: [
      `update certificate set der = (select der from certificate where agent = ${other} and purpose = 'tls' limit 1) where serial = ${current}`,
    ],
  },
  {
    what: 'a certificate that cannot be read',
    invariant: 'I4',
    finds: /cannot be read/,
    statements: [`update certificate set der = key_hash where serial = ${current}`],
  },
  {
    what: 'a certificate kept as lasting longer',
    invariant: 'I4',
    finds: /for another time/,
    statements: [`update certificate set not_after = not_after + 1000 where serial = ${current}`],
  },
  {
    what: 'a certificate kept for another key',
    invariant: 'I4',
    finds: /for another key/,
    statements: [
      `update certificate set key_hash = (select key_hash from certificate where agent = ${other} and purpose = 'tls' limit 1) where serial = ${current}`,
    ],
  },
  {
    what: 'an epoch nobody began',
    invariant: 'I4',
    finds: /no epoch/,
    statements: [`update meta set value = '40000000' where name = 'epoch'`],
  },
  {
    what: 'a certificate for an agent that was banned before',
    invariant: 'I5',
    finds: /written off/,
    statements: [
      `update certificate set issued_at = issued_at + ${String(manyHours)} where agent = ${banned}`,
    ],
  },
  {
    what: 'a certificate for a token that was revoked before',
    invariant: 'I6',
    finds: /did not hold/,
    statements: [
      `update token set state = 'revoked', revoked_at = created_at - 1 where id = (select source_token from agent where id = ${active})`,
    ],
  },
  {
    what: 'a certificate for a token that had ended',
    invariant: 'I6',
    finds: /did not hold/,
    statements: [
      `update token set expires_at = created_at where id = (select source_token from agent where id = ${active})`,
    ],
  },
  {
    what: 'a certificate without a token',
    invariant: 'I6',
    finds: /without a token/,
    statements: [`update certificate set token = null where serial = ${current}`],
  },
  {
    what: 'a certificate nobody redeemed a token for',
    invariant: 'I6',
    finds: /not redeemed/,
    statements: [`delete from redemption where serial = ${current}`],
  },
  {
    what: 'an agent with another role',
    invariant: 'I7',
    finds: /another role than its agent/,
    statements: [`update agent set role = 'manager' where id = ${active}`],
  },
  {
    what: 'a renewal token for another role',
    invariant: 'I7',
    finds: /another role than the agent/,
    statements: [`update token set role = 'manager' where kind = 'renew' and agent = ${active}`],
  },
  {
    what: 'an agent in the name of another',
    invariant: 'I7',
    finds: /not its role and id/,
    statements: [
      `update agent set spiffe_id = 'spiffe://example.org/agent/somebody' where id = ${active}`,
    ],
  },
  {
    what: 'a certificate in the name of another',
    invariant: 'I7',
    finds: /not in the name/,
    statements: [
      `update agent set spiffe_id = 'spiffe://example.org/agent/somebody' where id = ${active}`,
    ],
  },
  {
    what: 'a renewal token of a generation long past',
    invariant: 'I8',
    finds: /can be spent/,
    statements: [
      `update token set uses = 0 where kind = 'renew' and uses = 1 and state = 'active'`,
    ],
  },
  {
    what: 'two renewal tokens of one generation',
    invariant: 'I8',
    finds: /more than one renewal token/,
    statements: [
      'drop index token_renewal',
      `update token set generation = 1 where kind = 'renew' and generation = 2`,
    ],
  },
  {
    what: 'an agent at another generation than its certificates',
    invariant: 'I8',
    finds: /newest certificate/,
    statements: [`update agent set generation = generation + 1 where id = ${active}`],
  },
  {
    what: 'a chain of renewals with a break',
    invariant: 'I8',
    finds: /does not follow/,
    statements: [`update certificate set replaces = null where replaces is not null`],
  },
  {
    what: 'an agent without its certificate',
    invariant: 'I9',
    finds: /left without/,
    statements: [`update certificate set state = 'superseded' where serial = ${current}`],
  },
  {
    what: 'an agent that waits for nothing',
    invariant: 'I9',
    finds: /not to be confirmed/,
    statements: [
      `update agent set pending_serial = current_serial where id = ${banned} or id = ${active}`,
      `update certificate set state = 'confirmed' where serial = ${current}`,
    ],
  },
  {
    what: 'a certificate given up before the next was seen',
    invariant: 'I9',
    finds: /none after it was seen/,
    statements: [`update certificate set state = 'superseded' where serial = ${current}`],
  },
  {
    what: 'a certificate of a CA that was not in charge yet',
    invariant: 'I10',
    finds: /not in charge then/,
    statements: [
      `update ca_transition set at = at + ${String(manyHours)} where generation = (select issuer from certificate where serial = ${current})`,
    ],
  },
  {
    what: 'a state without its history',
    invariant: 'I10',
    finds: /where its history ends/,
    statements: [`update ca_generation set state = 'draining' where id = ${issuing}`],
  },
  {
    what: 'a history with a break',
    invariant: 'I10',
    finds: /has a break/,
    statements: [`update ca_transition set from_state = 'tainted' where from_state = 'published'`],
  },
  {
    what: 'a root that is in no bundle',
    invariant: 'I10',
    finds: /in no trust bundle/,
    statements: [`update ca_generation set published_in = 999 where id = ${root}`],
  },
  {
    what: 'a CA in charge below a root that is gone',
    invariant: 'I10',
    finds: /hosts do not trust/,
    statements: [
      `update ca_generation set state = 'destroyed' where id = (select parent from ca_generation where id = ${issuing})`,
    ],
  },
  {
    what: 'nobody in charge',
    invariant: 'I10',
    finds: /or none is/,
    statements: [`update ca_generation set state = 'draining' where id = ${issuing}`],
  },
  {
    what: 'a certificate no CA of ours has signed',
    invariant: 'I10',
    finds: /has not signed/,
    statements: [
      `update certificate set issuer = (select id from ca_generation where kind = 'enrolment' limit 1) where serial = ${current}`,
    ],
  },
  {
    what: 'a root put in charge before hosts had it',
    invariant: 'I11',
    finds: /before its gate/,
    statements: [
      `update ca_transition set gate = '{"needed":3,"reached":2}', forced_why = null where from_state = 'published' and to_state = 'signing'`,
    ],
  },
  {
    what: 'a CA retired above certificates in use',
    invariant: 'I12',
    finds: /the CA above it was retired/,
    statements: [
      `insert into ca_transition (generation, state_version, from_state, to_state, at, "by") select issuer, 99, 'draining', 'retired', 0, '' from certificate where serial = ${current}`,
      `update ca_generation set state = 'retired', state_version = 99 where id = (select issuer from certificate where serial = ${current})`,
    ],
  },
  {
    what: 'a certificate that outlives its CA',
    invariant: 'I13',
    finds: /ends after that of its CA/,
    statements: [
      `update certificate set der = (select certificate from ca_generation where kind = 'root' and number = 1) where serial = ${current}`,
    ],
  },
  {
    what: 'a revocation hosts never heard of',
    invariant: 'I14',
    finds: /no entry of the feed/,
    statements: [`delete from feed where type = 'agent_revoked'`],
  },
  {
    what: 'a revoked agent that is back',
    invariant: 'I14',
    finds: /not banned or retired/,
    statements: [`update agent set state = 'active' where id = ${banned}`],
  },
  {
    what: 'a banned agent nobody heard of',
    invariant: 'I14',
    finds: /were not told/,
    statements: [`delete from revocation where kind = 'agent'`],
  },
  {
    what: 'a certificate left to a banned agent',
    invariant: 'I14',
    finds: /not revoked with its agent/,
    statements: [`delete from revocation where kind = 'certificate'`],
  },
  {
    what: 'a revoked token that is back',
    invariant: 'I14',
    finds: /can be used/,
    statements: [
      `insert into revocation (kind, subject, reason, at, "by", feed_seq) select 'token', id, 'x', 0, 'x', 0 from token where state = 'active' and kind = 'enroll'`,
    ],
  },
  {
    what: 'a revocation for another CA',
    invariant: 'I14',
    finds: /names another CA/,
    statements: [`update revocation set issuer = ${root} where kind = 'certificate'`],
  },
  {
    what: 'a CRL that leaves something out',
    invariant: 'I14',
    finds: /does not list/,
    statements: [
      // Older than the revocation, whatever its row says.
      `update crl set feed_seq = 999999, this_update = 0`,
    ],
  },
  {
    what: 'a gap in the feed',
    invariant: 'I15',
    finds: /feed has a gap/,
    statements: [`delete from feed where seq = 2`],
  },
  {
    what: 'a lost end of the feed',
    invariant: 'I15',
    finds: /feed has a gap/,
    statements: [`delete from feed where seq = (select max(seq) from feed)`],
  },
  {
    what: 'a missing trust bundle',
    invariant: 'I15',
    finds: /trust bundle 1 is missing/,
    statements: ['delete from bundle where seq = 1'],
  },
  {
    what: 'an acknowledgement of nothing',
    invariant: 'I15',
    finds: /never published/,
    statements: [`update agent set feed_ack = 100000 where id = ${active}`],
  },
  {
    what: 'an audit log that is not in order',
    invariant: 'I15',
    finds: /older than the one before/,
    statements: ['update audit set at = 0 where seq = 2'],
  },
  {
    what: 'a CRL that goes back',
    invariant: 'I15',
    finds: /lower number/,
    statements: [
      `insert into crl (issuer, number, this_update, next_update, feed_seq, der) select issuer, number + 1, this_update - 1, next_update, feed_seq, der from crl where number = (select max(number) from crl)`,
    ],
  },
  {
    what: 'an audit entry that was changed',
    invariant: 'I16',
    finds: /changed after it was written/,
    statements: [`update audit set actor = 'nobody' where seq = 3`],
  },
  {
    what: 'an audit entry that was taken out',
    invariant: 'I16',
    finds: /is missing/,
    statements: ['delete from audit where seq = 3'],
  },
  {
    what: 'the newest audit entries cut off',
    invariant: 'I16',
    finds: /newest entries are missing/,
    statements: ['delete from audit where seq = (select max(seq) from audit)'],
  },
  {
    what: 'an issuance that is not in the log',
    invariant: 'I16',
    finds: /not granted by exactly one/,
    statements: [`update certificate set request = key_hash where serial = ${current}`],
  },
  {
    what: 'a confirmation that is not in the log',
    invariant: 'I16',
    finds: /not confirmed by exactly one/,
    statements: [
      `update certificate set confirmed_at = 1 where confirmed_at is null and purpose = 'tls'`,
    ],
  },
  {
    what: 'a batch that was made twice',
    invariant: 'I18',
    finds: /the batch has/,
    statements: [
      `update token set batch = (select batch from token where batch is not null and kind = 'enroll' order by batch limit 1) where kind = 'enroll' and batch is not null`,
    ],
  },
  {
    what: 'a token in the answer of a command',
    invariant: 'I19',
    finds: /token or a private key/,
    statements: [`update agent set report = '{"note":"sk1.AAAA"}' where id = ${active}`],
  },
];
