/** How a process was started, as far as it matters to a process that holds keys. */
export interface StartedWith {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Options of Node itself (`process.execArgv`). */
  readonly nodeOptions: readonly string[];
}

/**
 * What in the environment would let others read keys or change the code of a sidecar, one line
 * each: inspectors, code loaded before ours, keys of TLS sessions written to files, reports that
 * contain memory, trust that is not in the configuration.
 */
export function dangerousEnvironment({ environment, nodeOptions }: StartedWith): readonly string[] {
  const variables = Object.keys(environment)
    .filter((name) => dangerousVariables.has(name) && environment[name] !== '')
    .map((name) => `${name} is set: ${dangerousVariables.get(name) ?? ''}`);
  const optionsText = environment['NODE_OPTIONS'] ?? '';
  const fromEnvironment = dangerousOptions(optionsText.split(/\s+/u), [
    ...memoryOptions,
    ...codeOptions,
  ]).map(([option, why]) => `NODE_OPTIONS has ${option}: ${why}`);
  // Who writes the command line chooses the program anyway; it is the environment that leaks in.
  const fromCommand = dangerousOptions(nodeOptions, memoryOptions).map(
    ([option, why]) => `node was started with ${option}: ${why}`,
  );
  return [...variables, ...fromEnvironment, ...fromCommand];
}

function dangerousOptions(
  options: readonly string[],
  patterns: readonly OptionPattern[],
): readonly (readonly [string, string])[] {
  return options.flatMap((text) => {
    const option = text.replace(/^["']|["']$/gu, '').split('=')[0] ?? '';
    const why = patterns.find(([pattern]) => pattern.test(option))?.[1];
    return why === undefined ? [] : [[option, why] as const];
  });
}

const dangerousVariables = new Map([
  ['NODE_EXTRA_CA_CERTS', 'trust comes from the configuration only'],
  ['NODE_TLS_REJECT_UNAUTHORIZED', 'it can switch off the verification of certificates'],
  ['SSLKEYLOGFILE', 'it asks for session keys in a file'],
  ['NODE_REPL_EXTERNAL_MODULE', 'it loads foreign code'],
  ['NODE_DEBUG', 'it prints what the process handles'],
  ['GRPC_TRACE', 'it prints messages, which hold session keys'],
  ['GRPC_NODE_TRACE', 'it prints messages, which hold session keys'],
  ['GRPC_NODE_DEBUG_SEND_ERROR_DETAILS', 'it sends internal errors to callers'],
  ['LD_PRELOAD', 'it loads foreign code'],
]);

type OptionPattern = readonly [name: RegExp, why: string];

const codeOptions: readonly OptionPattern[] = [
  [/^(?:-r|--require|--import|--loader|--experimental-loader)$/u, 'it loads code before ours'],
];

const memoryOptions: readonly OptionPattern[] = [
  [/^--(?:inspect|debug)/u, 'an inspector can read the memory of the process'],
  [/^--tls-keylog$/u, 'it writes session keys to a file'],
  [/^--(?:heapsnapshot|heap-prof|cpu-prof|prof$)/u, 'it writes memory or profiles to files'],
  [/^--(?:report|experimental-report|diagnostic-dir)/u, 'reports contain memory and environment'],
  [/^--(?:abort-on-uncaught-exception|track-heap-objects)$/u, 'it leaves memory in core files'],
  [/^--(?:trace-tls|tls-min-v1\.[01])/u, 'it prints or weakens TLS'],
  [
    /^--(?:use-openssl-ca|use-system-ca|use-bundled-ca)$/u,
    'trust comes from the configuration only',
  ],
  [
    /^--(?:openssl-legacy-provider|openssl-config|openssl-shared-config)/u,
    'it changes the cryptography',
  ],
];
