import type { ListenerReport } from '../../gen/sidekey/v1/certificate_authority.ts';

/** What the administration service tells of the configuration and of the process around it. */
export interface AuthorityFacts {
  /** Of the program. */
  readonly version: string;
  /** Whether hosts must show a credential to reach the enrolment service. */
  readonly enrolmentMode: 'closed' | 'open';
  /** Whether CA keys are unreadable without a secret that is kept elsewhere. */
  readonly keysProtected: boolean;
  /** Directory of store and keys on this host; absent: they are elsewhere. */
  readonly stateDirectory: string | undefined;
  /** Where others get CRLs and OCSP answers; absent: nowhere. */
  readonly publicUrl: string | undefined;
  /** Why nothing is issued now; empty: it is. */
  readonly problems: () => readonly string[];
  /** Listeners of this process, as they are now. */
  readonly listeners: () => readonly ListenerReport[];
}
