import { toHex } from '../../bytes/bytes.ts';
import { parseCertificate } from '../../pki/index.ts';
import { distinct } from '../issue/token-rows.ts';
import type { Queries } from '../store/transaction.ts';

/** Public keys of TLS certificates by serial number; what is asked for together is read together. */
export class CertifiedKeys {
  readonly #queries: Queries;
  #asked: Asked[] = [];

  constructor(queries: Queries) {
    this.#queries = queries;
  }

  /** DER `SubjectPublicKeyInfo`; `undefined`: no host has such a certificate. */
  find(serial: Uint8Array): Promise<Uint8Array | undefined> {
    return new Promise((resolve, reject) => {
      this.#asked.push({ serial, resolve, reject });
      if (this.#asked.length === 1) {
        setImmediate(() => {
          void this.#read(this.#asked.splice(0));
        });
      }
    });
  }

  /** Never rejects: who asked hears of failures. */
  async #read(asked: readonly Asked[]): Promise<void> {
    try {
      const rows = await this.#queries
        .selectFrom('certificate')
        .select(['serial', 'der'])
        .where('serial', 'in', distinct(asked.map(({ serial }) => serial)))
        .where('purpose', '=', 'tls')
        .execute();
      const keys = new Map(
        rows.map(({ serial, der }) => [
          toHex(serial),
          der === null ? undefined : parseCertificate(der).publicKeyInfo,
        ]),
      );
      for (const { serial, resolve } of asked) resolve(keys.get(toHex(serial)));
    } catch (error) {
      for (const { reject } of asked) reject(error);
    }
  }
}

interface Asked {
  readonly serial: Uint8Array;
  readonly resolve: (key: Uint8Array | undefined) => void;
  readonly reject: (error: unknown) => void;
}
