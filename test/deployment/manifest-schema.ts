import { z } from 'zod';

/** What every manifest has to have: nothing a process in a pod does not need is left to it. */
const probe = z.object({
  httpGet: z.strictObject({ path: z.enum(['/healthz', '/readyz']), port: z.number() }),
  periodSeconds: z.number(),
  timeoutSeconds: z.number(),
  failureThreshold: z.number(),
});

const securityContext = z.strictObject({
  runAsUser: z.number().positive(),
  runAsGroup: z.number().positive(),
  runAsNonRoot: z.literal(true),
  readOnlyRootFilesystem: z.literal(true),
  allowPrivilegeEscalation: z.literal(false),
  privileged: z.literal(false),
  capabilities: z.strictObject({ drop: z.tuple([z.literal('ALL')]) }),
  seccompProfile: z.strictObject({ type: z.literal('RuntimeDefault') }),
});

const container = z.object({
  name: z.string(),
  image: z.string().regex(/:[^:/]+$/u, 'an image needs a version'),
  securityContext,
  ports: z.array(z.object({ name: z.string(), containerPort: z.number() })),
  env: z.array(z.strictObject({ name: z.string(), value: z.string() })).optional(),
  resources: z.object({
    requests: z.object({ cpu: z.string(), memory: z.string() }),
    limits: z.object({ memory: z.string().regex(/^\d+Mi$/u) }),
  }),
  volumeMounts: z.array(
    z.strictObject({
      name: z.string(),
      mountPath: z.string(),
      subPath: z.string().optional(),
      readOnly: z.boolean().optional(),
    }),
  ),
});

const sidecarContainer = container.extend({
  restartPolicy: z.literal('Always'),
  startupProbe: probe,
  readinessProbe: probe,
  livenessProbe: probe,
});

const memoryVolume = z.object({ medium: z.literal('Memory'), sizeLimit: z.string() });

export const podSpec = z.strictObject({
  automountServiceAccountToken: z.literal(false),
  enableServiceLinks: z.literal(false),
  shareProcessNamespace: z.literal(false),
  terminationGracePeriodSeconds: z.number(),
  securityContext: z.strictObject({
    runAsNonRoot: z.literal(true),
    fsGroup: z.number().positive(),
    fsGroupChangePolicy: z.literal('OnRootMismatch'),
    seccompProfile: z.strictObject({ type: z.literal('RuntimeDefault') }),
  }),
  initContainers: z.tuple([sidecarContainer]),
  containers: z.tuple([container]),
  volumes: z.array(
    z.strictObject({
      name: z.string(),
      emptyDir: memoryVolume.optional(),
      configMap: z.object({ name: z.string() }).optional(),
      secret: z.object({ secretName: z.string(), defaultMode: z.number() }).optional(),
    }),
  ),
});

export const labels = z.record(z.string(), z.string());

export const networkPolicy = z.object({
  apiVersion: z.literal('networking.k8s.io/v1'),
  kind: z.literal('NetworkPolicy'),
  spec: z.object({
    podSelector: z.strictObject({ matchLabels: labels }),
    policyTypes: z.tuple([z.literal('Ingress')]),
    ingress: z.array(
      z.strictObject({
        from: z.array(z.unknown()).optional(),
        ports: z.array(z.strictObject({ port: z.number() })),
      }),
    ),
  }),
});

/** Where a container sees a path. */
export function mountOf(of: z.infer<typeof container>, path: string) {
  return of.volumeMounts.find(
    ({ mountPath }) => path === mountPath || path.startsWith(`${mountPath}/`),
  );
}
