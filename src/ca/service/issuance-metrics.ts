import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

/** What an authority counts about the certificates it is asked for. */
export interface IssuanceMetrics {
  issued(kind: IssuanceKind, how: 'new' | 'replayed' | 'late'): void;
  refused(kind: IssuanceKind, reason: string): void;
  took(kind: IssuanceKind, seconds: number): void;
}

export type IssuanceKind = 'enroll' | 'renew' | 'confirm';

/** Registers the metrics; the gauges are read when they are asked for. */
export function createIssuanceMetrics(
  registry: Registry,
  gauges: { readonly inFlight: () => number; readonly queued: () => number },
): IssuanceMetrics {
  const registers = [registry];
  const issued = new Counter({
    name: 'sidekey_authority_issued_total',
    help: 'Requests for certificates answered, by kind; replayed: the answer of an earlier time again; late: after the end of the certificate before.',
    labelNames: ['kind', 'how'],
    registers,
  });
  const refused = new Counter({
    name: 'sidekey_authority_refused_total',
    help: 'Requests refused, by kind and reason.',
    labelNames: ['kind', 'reason'],
    registers,
  });
  const duration = new Histogram({
    name: 'sidekey_authority_request_seconds',
    help: 'Time from a request to its durable answer.',
    labelNames: ['kind'],
    buckets: [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10],
    registers,
  });
  new Gauge({
    name: 'sidekey_authority_requests_in_flight',
    help: 'Requests at work.',
    registers,
    collect() {
      this.set(gauges.inFlight());
    },
  });
  new Gauge({
    name: 'sidekey_authority_write_queue',
    help: 'Changes waiting for the store.',
    registers,
    collect() {
      this.set(gauges.queued());
    },
  });
  return {
    issued: (kind, how) => {
      issued.inc({ kind, how });
    },
    refused: (kind, reason) => {
      refused.inc({ kind, reason });
    },
    took: (kind, seconds) => {
      duration.observe({ kind }, seconds);
    },
  };
}
