import { credentials, loadPackageDefinition } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { expect } from 'chai';
import { protoPath } from 'grpc-health-check';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { startTestSidecar, type TestSidecar } from './fixture.ts';

const local = { 'grpc.use_local_subchannel_pool': 1 };

describe('standard gRPC services of a sidecar', () => {
  let sidecar: TestSidecar;

  afterEach(async () => {
    await sidecar.close();
  });

  async function health(service: string): Promise<string> {
    const { grpc } = loadPackageDefinition(loadSync(protoPath, { enums: String })) as any;
    const client = new grpc.health.v1.Health(sidecar.address, credentials.createInsecure(), local);
    try {
      return await new Promise((resolve, reject) => {
        client.check({ service }, (error: Error | null, response: { status: string }) => {
          if (error === null) resolve(response.status);
          else reject(error);
        });
      });
    } finally {
      client.close();
    }
  }

  /** Names of the services reflection lists, or the code of the error. */
  async function reflection(): Promise<readonly string[] | number> {
    const root = dirname(createRequire(import.meta.url).resolve('@grpc/reflection/package.json'));
    const { grpc } = loadPackageDefinition(
      loadSync(join(root, 'build/proto/grpc/reflection/v1/reflection.proto')),
    ) as any;
    const client = new grpc.reflection.v1.ServerReflection(
      sidecar.address,
      credentials.createInsecure(),
      local,
    );
    const call = client.serverReflectionInfo();
    try {
      return await new Promise((resolve) => {
        call.on('error', (error: { code: number }) => {
          resolve(error.code);
        });
        call.on('data', (response: any) => {
          resolve(response.listServicesResponse.service.map(({ name }: { name: string }) => name));
        });
        call.write({ listServices: '' });
      });
    } finally {
      call.cancel();
      client.close();
    }
  }

  it('say that it serves', async () => {
    sidecar = await startTestSidecar();
    expect(await health('')).to.equal('SERVING');
    expect(await health('s2a.proto.S2AService')).to.equal('SERVING');
  });

  it('say nothing about its interfaces unless told to', async () => {
    sidecar = await startTestSidecar();
    expect(await reflection()).to.equal(12);
  });

  it('list its interfaces when told to', async () => {
    sidecar = await startTestSidecar({ extra: 'reflection: true\n' });
    expect(await reflection()).to.include.members([
      's2a.proto.S2AService',
      'sidekey.v1.WorkloadService',
    ]);
  });
});
