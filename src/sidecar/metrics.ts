import { collectDefaultMetrics, Counter, Gauge, Histogram, type Registry } from 'prom-client';

/** What is asked when the metrics are read. */
export interface GaugeSources {
  readonly inFlight: (role: 'client' | 'server') => number;
  readonly queued: (role: 'client' | 'server') => number;
  readonly openStreams: () => number;
  readonly connections: () => number;
  readonly clientSessions: () => number;
  readonly trustGeneration: () => number;
  readonly notAfter: () => Iterable<readonly [identity: string, notAfter: Date]>;
  readonly revocationWatchers: () => number;
  readonly enrolled: () => Iterable<EnrolledFigures>;
}

/** What is measured of an identity that is enrolled, or waits for it. */
export interface EnrolledFigures {
  readonly identity: string;
  /** Absent: never. */
  readonly trustAgeSeconds: number | undefined;
  readonly bundleSequence: number;
  readonly feedSequence: number;
  readonly revokedCertificates: number;
  readonly renewals: number;
  readonly failedRenewals: number;
}

/** How a handshake ended. `cancelled`: the caller or its peer went away before it was decided. */
export type HandshakeOutcome = 'ok' | 'failed' | 'refused' | 'cancelled';

/**
 * Counters and gauges for Prometheus, in a registry of their own. Labels take only values this
 * sidecar chooses, so a peer cannot make series.
 */
export class SidecarMetrics {
  readonly #registry: Registry;
  readonly #handshakes: Counter<'role' | 'result' | 'reason'>;
  readonly #duration: Histogram<'role' | 'resumed'>;
  readonly #resumptions: Counter<'role'>;
  readonly #denials: Counter<'reason'>;
  readonly #reloads: Counter<'kind' | 'name' | 'result'>;

  /** `registry` may hold what others measure in this process. */
  constructor(sources: GaugeSources, registry: Registry) {
    this.#registry = registry;
    collectDefaultMetrics({ register: registry, prefix: 'sidekey_' });
    this.#handshakes = this.#counter('handshakes_total', 'Handshakes by how they ended.', [
      'role',
      'result',
      'reason',
    ]);
    this.#duration = new Histogram({
      name: 'sidekey_handshake_duration_seconds',
      help: 'From the start message to the result, waiting for peers and in the queue included.',
      labelNames: ['role', 'resumed'],
      buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
      registers: [registry],
    });
    this.#resumptions = this.#counter('resumptions_total', 'Handshakes that resumed a session.', [
      'role',
    ]);
    this.#denials = this.#counter('caller_denials_total', 'Calls refused, by reason.', ['reason']);
    this.#reloads = this.#counter('reloads_total', 'Files looked at again, by what came of it.', [
      'kind',
      'name',
      'result',
    ]);
    const byRole = (
      name: string,
      help: string,
      read: (role: 'client' | 'server') => number,
    ): void => {
      this.#gauge(name, help, ['role'], (gauge) => {
        for (const role of ['client', 'server'] as const) gauge.set({ role }, read(role));
      });
    };
    byRole('handshakes_in_flight', 'Handshakes that hold a slot.', sources.inFlight);
    byRole('handshakes_queued', 'Handshakes that wait for a slot.', sources.queued);
    const single = (name: string, help: string, read: () => number): void => {
      this.#gauge(name, help, [], (gauge) => {
        gauge.set(read());
      });
    };
    single('open_streams', 'Handshake streams that are open.', sources.openStreams);
    single('connections', 'Connections of callers.', sources.connections);
    single('client_sessions', 'Sessions kept for resumption by clients.', sources.clientSessions);
    single(
      'trust_generation',
      'Counts up when the trust bundle is replaced.',
      sources.trustGeneration,
    );
    single(
      'revocation_watchers',
      'Applications that follow revocations.',
      sources.revocationWatchers,
    );
    this.#enrolled(sources.enrolled);
    this.#gauge(
      'certificate_not_after_seconds',
      'End of validity of each identity, in seconds since the epoch.',
      ['identity'],
      (gauge) => {
        for (const [identity, notAfter] of sources.notAfter()) {
          gauge.set({ identity }, notAfter.getTime() / 1000);
        }
      },
    );
  }

  handshakeEnded(role: 'client' | 'server', result: HandshakeOutcome, reason: string): void {
    this.#handshakes.inc({ role, result, reason });
  }

  handshakeTook(role: 'client' | 'server', resumed: boolean, seconds: number): void {
    this.#duration.observe({ role, resumed: String(resumed) }, seconds);
    if (resumed) this.#resumptions.inc({ role });
  }

  callerDenied(reason: string): void {
    this.#denials.inc({ reason });
  }

  reloaded(kind: 'identity' | 'trust', name: string, result: 'reloaded' | 'failed'): void {
    this.#reloads.inc({ kind, name, result });
  }

  /** Everything in Prometheus' text format. */
  async text(): Promise<string> {
    return await this.#registry.metrics();
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  #enrolled(figures: () => Iterable<EnrolledFigures>): void {
    const each = (
      name: string,
      help: string,
      read: (figures: EnrolledFigures) => number | undefined,
    ): void => {
      this.#gauge(name, help, ['identity'], (gauge) => {
        for (const one of figures()) {
          const value = read(one);
          if (value !== undefined) gauge.set({ identity: one.identity }, value);
        }
      });
    };
    each(
      'trust_age_seconds',
      'Since the authority of an enrolled identity was heard of last.',
      (one) => one.trustAgeSeconds,
    );
    each(
      'trust_bundle_sequence',
      'Version of the trust bundle in use.',
      (one) => one.bundleSequence,
    );
    each(
      'revocation_feed_sequence',
      'Last entry of the feed of revocations that was heard.',
      (one) => one.feedSequence,
    );
    each(
      'revoked_certificates',
      'Certificates of peers known as revoked.',
      (one) => one.revokedCertificates,
    );
    new Counter({
      name: 'sidekey_renewals_total',
      help: 'Certificates obtained from the authority, and attempts that failed.',
      labelNames: ['identity', 'result'],
      registers: [this.#registry],
      collect() {
        this.reset();
        for (const { identity, renewals, failedRenewals } of figures()) {
          this.inc({ identity, result: 'ok' }, renewals);
          this.inc({ identity, result: 'failed' }, failedRenewals);
        }
      },
    });
  }

  #counter<Label extends string>(name: string, help: string, labelNames: Label[]): Counter<Label> {
    return new Counter({ name: `sidekey_${name}`, help, labelNames, registers: [this.#registry] });
  }

  #gauge<Label extends string>(
    name: string,
    help: string,
    labelNames: Label[],
    read: (gauge: Gauge<Label>) => void,
  ): void {
    new Gauge({
      name: `sidekey_${name}`,
      help,
      labelNames,
      registers: [this.#registry],
      collect() {
        this.reset();
        read(this);
      },
    });
  }
}
