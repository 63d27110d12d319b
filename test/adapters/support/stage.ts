import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createOffload, type Offload } from '../../../src/offload/index.ts';
import { startTestSidecar, type TestSidecar } from '../../sidecar/fixture.ts';
import { createTestCa, type IssuedIdentity, type TestCa } from '../../support/test-ca.ts';

/** A real sidecar with one application's identity, and what stock servers of its CA need. */
export interface Stage {
  readonly ca: TestCa;
  readonly sidecar: TestSidecar;
  readonly offload: Offload;
  /** Certificate and key of a stock server for `localhost`. */
  readonly server: IssuedIdentity;
  /** Files for a stock server, in a directory of their own. */
  files(): ServerFiles;
  close(): Promise<void>;
}

export interface ServerFiles {
  readonly directory: string;
  readonly certificate: string;
  readonly privateKey: string;
  readonly roots: string;
}

/** What the application proves: by this common name, databases know it. */
export const applicationName = 'app';
export const applicationId = 'spiffe://test/service/app';

export async function startStage(): Promise<Stage> {
  const ca = createTestCa();
  const sidecar = await startTestSidecar({
    ca,
    identities: {
      app: {
        commonName: applicationName,
        dnsNames: ['localhost'],
        ipAddresses: ['127.0.0.1'],
        uris: [applicationId],
      },
    },
    extra: 'tls: { clientAuth: none }\n',
  });
  const offload = createOffload({ address: sidecar.address });
  const server = ca.issue({ dnsNames: ['localhost'], ipAddresses: ['127.0.0.1'] });
  return {
    ca,
    sidecar,
    offload,
    server,
    files: () => writeServerFiles(join(sidecar.directory, 'server'), server, ca),
    close: async () => {
      await offload.close();
      await sidecar.close();
    },
  };
}

function writeServerFiles(directory: string, server: IssuedIdentity, ca: TestCa): ServerFiles {
  mkdirSync(directory, { recursive: true });
  const files = {
    directory,
    certificate: join(directory, 'server.pem'),
    privateKey: join(directory, 'server.key'),
    roots: join(directory, 'roots.pem'),
  };
  writeFileSync(files.certificate, server.certificatePem);
  writeFileSync(files.privateKey, server.privateKeyPem);
  chmodSync(files.privateKey, 0o600);
  writeFileSync(files.roots, ca.pem);
  return files;
}
