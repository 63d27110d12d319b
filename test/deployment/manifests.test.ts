import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { parse, parseAllDocuments } from 'yaml';
import { z } from 'zod';
import { parseSidecarConfig } from '../../src/sidecar/config.ts';
import { labels, mountOf, networkPolicy, podSpec } from './manifest-schema.ts';

const read = (path: string): string =>
  readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');

const configMap = z.object({
  apiVersion: z.literal('v1'),
  kind: z.literal('ConfigMap'),
  metadata: z.object({ name: z.string() }),
  data: z.strictObject({ 'sidecar.yaml': z.string() }),
});

const deployment = z.object({
  apiVersion: z.literal('apps/v1'),
  kind: z.literal('Deployment'),
  spec: z.object({
    selector: z.strictObject({ matchLabels: labels }),
    template: z.object({ metadata: z.object({ labels }), spec: podSpec }),
  }),
});

/** The manifest and what is in it; fails where a setting that keeps others out is missing or another. */
function manifest() {
  // Kubernetes reads YAML 1.1, in which 0400 is octal.
  const documents = parseAllDocuments(read('docker/kubernetes.yaml'), { version: '1.1' });
  const [map, web, policy] = z
    .tuple([configMap, deployment, networkPolicy])
    .parse(documents.map((document): unknown => document.toJS()));
  const pod = web.spec.template.spec;
  const [sidecar] = pod.initContainers;
  const [application] = pod.containers;
  const text = map.data['sidecar.yaml'];
  const config = parseSidecarConfig(text, '/etc/sidekey/sidecar.yaml');
  return { web, policy, pod, sidecar, application, text, config };
}

describe('docker/kubernetes.yaml', () => {
  it('has every security setting', () => {
    expect(() => manifest()).to.not.throw();
  });

  it('carries the configuration of the image, and it is valid', () => {
    const { text } = manifest();
    expect(parse(text)).to.deep.equal(parse(read('docker/sidecar.yaml')));
  });

  it('lets in exactly the user of the application', () => {
    const { application, config } = manifest();
    const [listener] = config.listen;
    expect(listener?.allow.map(({ uid }) => uid)).to.deep.equal([
      application.securityContext.runAsUser,
    ]);
  });

  it('runs sidecar and application as different users and groups', () => {
    const { sidecar, application } = manifest();
    const [a, b] = [sidecar.securityContext, application.securityContext];
    expect(a.runAsUser).to.not.equal(b.runAsUser);
    expect(a.runAsGroup).to.not.equal(b.runAsGroup);
  });

  it('opens the socket to the shared group and to nobody else', () => {
    const { config } = manifest();
    expect(config.listen[0]?.mode).to.equal(0o660);
  });

  it('shows the socket to both at the path both were told, to the application read-only', () => {
    const { sidecar, application, config } = manifest();
    const [listener] = config.listen;
    if (listener?.address.kind !== 'unix') throw new TypeError('no unix socket');
    const { path } = listener.address;
    expect(application.env).to.deep.include({ name: 'SIDEKEY_ADDRESS', value: `unix:${path}` });
    expect(mountOf(sidecar, path)).to.deep.equal({ name: 'socket', mountPath: '/run/sidekey' });
    expect(mountOf(application, path)?.name).to.equal('socket');
    expect(mountOf(application, path)?.readOnly).to.equal(true);
  });

  it('mounts every file of the configuration, and none of them into the application', () => {
    const { sidecar, application, config } = manifest();
    for (const file of [
      ...config.identities.flatMap((one) =>
        one.kind === 'files' ? [one.certificate, one.privateKey] : [],
      ),
      config.trustBundle!,
      config.file,
    ]) {
      expect(mountOf(sidecar, file)?.readOnly, file).to.equal(true);
    }
    expect(application.volumeMounts.map(({ name }) => name)).to.deep.equal(['socket']);
    expect(mountOf(sidecar, config.state)?.name).to.equal('state');
  });

  it('mounts volumes that exist', () => {
    const { pod, sidecar, application } = manifest();
    const names = pod.volumes.map(({ name }) => name);
    for (const { name } of [...sidecar.volumeMounts, ...application.volumeMounts]) {
      expect(names).to.include(name);
    }
    const key = pod.volumes.find(({ secret }) => secret !== undefined);
    expect(key?.secret?.defaultMode).to.equal(0o400);
  });

  it('asks the admin port, ready for readiness and alive for liveness', () => {
    const { sidecar, config } = manifest();
    if (config.admin?.kind !== 'tcp') throw new TypeError('no admin port');
    const { port } = config.admin;
    const { startupProbe, readinessProbe, livenessProbe } = sidecar;
    expect(startupProbe.httpGet).to.deep.equal({ path: '/readyz', port });
    expect(readinessProbe.httpGet).to.deep.equal({ path: '/readyz', port });
    expect(livenessProbe.httpGet).to.deep.equal({ path: '/healthz', port });
    expect(sidecar.ports.map(({ containerPort }) => containerPort)).to.deep.equal([port]);
  });

  it('shows the admin port only to whom the policy names', () => {
    const { web, policy, application } = manifest();
    expect(policy.spec.podSelector.matchLabels).to.deep.equal(web.spec.selector.matchLabels);
    expect(web.spec.template.metadata.labels).to.include(web.spec.selector.matchLabels);
    const open = policy.spec.ingress.filter(({ from }) => from === undefined);
    expect(open.flatMap(({ ports }) => ports)).to.deep.equal([
      { port: application.ports[0]?.containerPort },
    ]);
  });

  it('gives the sidecar time to drain after the application has stopped', () => {
    const { pod, config } = manifest();
    expect(pod.terminationGracePeriodSeconds).to.be.greaterThan(config.drainTimeoutMs / 1000 + 30);
  });

  it('leaves room above the heap in the memory it allows', () => {
    const { sidecar } = manifest();
    const limit = Number.parseInt(sidecar.resources.limits.memory, 10);
    const heap = Number(/--max-old-space-size=(\d+)/u.exec(read('docker/Dockerfile'))?.[1]);
    expect(heap / limit).to.be.within(0.4, 0.7);
  });
});

describe('docker/Dockerfile', () => {
  const lines = read('docker/Dockerfile').split('\n');
  const final = lines.slice(lines.findLastIndex((line) => line.startsWith('FROM ')));

  it('ends as the user of the manifest', () => {
    expect(final).to.include('USER 65532:65532');
    expect(read('docker/kubernetes.yaml')).to.include('runAsUser: 65532');
  });

  it('runs nothing in the image that is shipped', () => {
    expect(final.filter((line) => /^(?:RUN|ADD|VOLUME)\b/u.test(line))).to.deep.equal([]);
  });

  it('starts Node with the options of the systemd unit, and with one that Node 20 lacks', () => {
    const options = (text: string): readonly string[] =>
      [...text.matchAll(/--[a-z0-9-]+(?:=\d+)?/gu)].map(([option]) => option);
    const start = final.find((line) => line.startsWith('ENTRYPOINT')) ?? '';
    const unit = /^ExecStart=(?:.*\\\n)*.*/mu.exec(read('docker/sidekey-sidecar.service'))?.[0];
    expect(options(start).filter((option) => option !== '--disable-sigusr1')).to.deep.equal(
      options(unit ?? '').filter((option) => option !== '--config'),
    );
    expect(options(start)).to.include('--secure-heap=65536');
  });
});

describe('docker/sidekey-agent.service', () => {
  const settingsOf = (path: string): ReadonlyMap<string, string> => {
    const settings = new Map<string, string>();
    const text = read(path).replaceAll('\\\n', ' ');
    for (const [, name = '', value = ''] of text.matchAll(/^([A-Za-z]+)=(.*)$/gmu)) {
      settings.set(
        name,
        [settings.get(name), value].filter((one) => one !== undefined).join(' | '),
      );
    }
    return settings;
  };
  const agent = settingsOf('docker/sidekey-agent.service');
  const sidecar = settingsOf('docker/sidekey-sidecar.service');

  it('confines it as the sidecar, but for what it has to see and to reach', () => {
    const confining =
      /^(?:Ambient|Capab|IPAddr|Keyring|LimitCORE|Lock|Memory|NoNew|Priv|Proc|Protect|RemoveIPC|Restrict|SystemCall|UMask|Unset)/u;
    const names = [...sidecar.keys()].filter((name) => confining.test(name));
    expect(names).to.have.length.above(20);
    expect(names.filter((name) => agent.get(name) !== sidecar.get(name))).to.have.members([
      'IPAddressAllow',
      'IPAddressDeny',
      'ProcSubset',
      'ProtectHome',
    ]);
  });

  it('starts what it has checked before', () => {
    const command = (name: string): string =>
      /\/opt\/sidekey\/dist\/cli\/main\.js (.*)/u.exec(agent.get(name) ?? '')?.[1] ?? name;
    expect(command('ExecStart')).to.equal('agent --config /etc/sidekey-agent/agent.yaml');
    expect(command('ExecStartPre')).to.equal(`${command('ExecStart')} --check`);
  });

  it('is another user than the sidecar, of the group its socket is for', () => {
    expect(agent.get('User')).to.not.equal(sidecar.get('User'));
    expect(agent.get('SupplementaryGroups')).to.equal(sidecar.get('Group'));
  });
});
