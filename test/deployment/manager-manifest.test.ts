import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { parseAllDocuments } from 'yaml';
import { z } from 'zod';
import { parseManagerConfig } from '../../src/apps/manager/config.ts';
import { parseSidecarConfig } from '../../src/sidecar/config.ts';
import { labels, mountOf, networkPolicy, podSpec } from './manifest-schema.ts';

const read = (path: string): string =>
  readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');

const configMap = z.object({
  kind: z.literal('ConfigMap'),
  data: z.strictObject({ 'sidecar.yaml': z.string(), 'manager.yaml': z.string() }),
});
const port = z.object({ port: z.number(), targetPort: z.number() });
const service = z.object({
  kind: z.literal('Service'),
  spec: z.object({ selector: labels, ports: z.array(port) }),
});
const statefulSet = z.object({
  kind: z.literal('StatefulSet'),
  spec: z.object({
    replicas: z.number(),
    selector: z.strictObject({ matchLabels: labels }),
    template: z.object({ metadata: z.object({ labels }), spec: podSpec }),
    volumeClaimTemplates: z.array(z.object({ metadata: z.object({ name: z.string() }) })),
  }),
});
const commandLine = z.object({ command: z.array(z.string()), args: z.array(z.string()) });

function manifest() {
  // Kubernetes reads YAML 1.1.
  const documents = parseAllDocuments(read('docker/kubernetes-manager.yaml'), { version: '1.1' });
  const values = documents.map((document): unknown => document.toJS());
  const [map, front, set, policy] = z
    .tuple([configMap, service, statefulSet, networkPolicy])
    .parse(values);
  const pod = set.spec.template.spec;
  const [sidecar] = pod.initContainers;
  const [manager] = pod.containers;
  return {
    ...{ front, set, policy, pod, sidecar, manager },
    sidecarConfig: parseSidecarConfig(map.data['sidecar.yaml'], '/etc/sidekey/sidecar.yaml'),
    config: parseManagerConfig(map.data['manager.yaml'], '/etc/sidekey-manager/manager.yaml'),
    start: commandLine.parse(
      (values[2] as { spec: { template: { spec: { containers: [unknown] } } } }).spec.template.spec
        .containers[0],
    ),
  };
}

describe('docker/kubernetes-manager.yaml', () => {
  it('has every security setting, and configurations that are valid', () => {
    expect(() => manifest()).to.not.throw();
  });

  it('runs one manager, as another user than its sidecar', () => {
    const { set, sidecar, manager } = manifest();
    expect(set.spec.replicas).to.equal(1);
    expect(manager.securityContext.runAsUser).to.not.equal(sidecar.securityContext.runAsUser);
    expect(manager.securityContext.runAsGroup).to.not.equal(sidecar.securityContext.runAsGroup);
  });

  it('lets the manager use the identity, and who is inside of the sidecar enrol it', () => {
    const { sidecarConfig, sidecar, manager, config } = manifest();
    const [listener] = sidecarConfig.listen;
    const rule = (uid: number) => listener?.allow.find((one) => one.uid === uid);
    expect(rule(manager.securityContext.runAsUser)).to.include({
      enroll: false,
      pinnedPeers: true,
    });
    expect(rule(sidecar.securityContext.runAsUser)).to.include({ enroll: true });
    expect(listener?.allow).to.have.length(2);
    expect(sidecarConfig.identities.map(({ kind, name }) => [kind, name])).to.deep.equal([
      ['enrolled', config.identity],
    ]);
    if (listener?.address.kind !== 'unix') throw new TypeError('no unix socket');
    expect(config.sidecar).to.equal(`unix:${listener.address.path}`);
    expect(listener.mode).to.equal(0o660);
  });

  it('keeps keys and store in volumes of their own, and shows neither to the other', () => {
    const { set, sidecar, manager, sidecarConfig, config } = manifest();
    expect(mountOf(sidecar, sidecarConfig.state)?.name).to.equal('identity');
    expect(mountOf(manager, config.state)?.name).to.equal('store');
    expect(manager.volumeMounts.map(({ name }) => name)).to.not.include('identity');
    expect(sidecar.volumeMounts.map(({ name }) => name)).to.not.include('store');
    expect(set.spec.volumeClaimTemplates.map(({ metadata }) => metadata.name)).to.have.members([
      'identity',
      'store',
    ]);
    const { address } = config.admin;
    if (address.kind !== 'unix') throw new TypeError('no unix socket');
    expect(mountOf(manager, address.path)?.name).to.equal('store');
  });

  it('mounts what both read, and volumes that exist', () => {
    const { set, pod, sidecar, manager, sidecarConfig, config } = manifest();
    expect(mountOf(sidecar, sidecarConfig.file)?.readOnly).to.equal(true);
    expect(mountOf(manager, config.file)?.readOnly).to.equal(true);
    expect(mountOf(manager, '/run/sidekey/sidecar.sock')?.readOnly).to.equal(true);
    const names = [
      ...pod.volumes.map(({ name }) => name),
      ...set.spec.volumeClaimTemplates.map(({ metadata }) => metadata.name),
    ];
    for (const { name } of [...sidecar.volumeMounts, ...manager.volumeMounts]) {
      expect(names).to.include(name);
    }
  });

  it('opens to everybody the ports of the manager, and no other', () => {
    const { front, set, policy, manager, config } = manifest();
    const ports = [config.listen, config.admin.https].map((address) =>
      address?.kind === 'tcp' ? address.port : undefined,
    );
    expect(manager.ports.map(({ containerPort }) => containerPort)).to.deep.equal(ports);
    expect(front.spec.ports.map(({ targetPort }) => targetPort)).to.deep.equal(ports);
    const open = policy.spec.ingress.filter(({ from }) => from === undefined);
    expect(open.flatMap((one) => one.ports.map((each) => each.port))).to.deep.equal(ports);
    expect(front.spec.selector).to.deep.equal(set.spec.selector.matchLabels);
    expect(policy.spec.podSelector.matchLabels).to.deep.equal(set.spec.selector.matchLabels);
    expect(set.spec.template.metadata.labels).to.include(set.spec.selector.matchLabels);
  });

  it('leaves room above the heap in the memory it allows', () => {
    const { manager, start } = manifest();
    const limit = Number.parseInt(manager.resources.limits.memory, 10);
    const heap = Number(/--max-old-space-size=(\d+)/u.exec(start.command.join(' '))?.[1]);
    expect(heap / limit).to.be.within(0.4, 0.7);
  });
});

describe('docker/sidekey-manager.service', () => {
  const text = read('docker/sidekey-manager.service');
  const settings = (of: string): Map<string, string> =>
    new Map(
      [...of.matchAll(/^([A-Z][A-Za-z]+)=(.*)$/gmu)].map(([, name = '', value = '']) => [
        name,
        value,
      ]),
    );

  it('carries a configuration that is valid, in directories the unit makes', () => {
    const yaml = [...text.matchAll(/^# {5}(\w+: .*)$/gmu)].map(([, line = '']) => line).join('\n');
    const config = parseManagerConfig(yaml, '/etc/sidekey-manager/manager.yaml');
    const unit = settings(text);
    expect(config.state).to.equal(`/var/lib/${unit.get('StateDirectory') ?? ''}`);
    expect(config.admin.address).to.deep.include({
      path: `/run/${unit.get('RuntimeDirectory') ?? ''}/manager.sock`,
    });
  });

  it('is as closed as that of the sidecar, but for connections', () => {
    const own = settings(text);
    const open =
      /^(?:IP|Exec|Description|After|User|Group|Memory|Limit|Timeout|.*Directory|ImportCredential)/u;
    for (const [name, value] of settings(read('docker/sidekey-sidecar.service'))) {
      if (!open.test(name)) expect(own.get(name), name).to.equal(value);
    }
    expect(own.get('User')).to.not.equal('sidekey');
  });
});
