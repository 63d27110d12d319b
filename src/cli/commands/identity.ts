import { type Command, InvalidArgumentError, Option } from 'commander';
import { collect } from '../arguments.ts';
import { type OutputFormat, print } from '../terminal.ts';
import { keyTypes, type KeyType } from '../identity/key-types.ts';
import {
  offloadOptions,
  outputOption,
  type SidecarArguments,
  sidecarOption,
  tokenFileOption,
} from './options.ts';

/** `sidekey identity new | import | list | show`. */
export function addIdentityCommand(program: Command): void {
  const identity = program
    .command('identity')
    .description('long-term keys and certificates of a sidecar');
  addNew(identity);
  addImport(identity);
  addList(identity);
  addShow(identity);
}

interface NewArguments {
  readonly name: string;
  readonly out: string;
  readonly keyType: KeyType;
  readonly spiffeId?: string;
  readonly dns?: readonly string[];
}

function addNew(identity: Command): void {
  identity
    .command('new')
    .description('make a private key and a certificate request for it')
    .addOption(nameOption())
    .addOption(outOption())
    .addOption(
      new Option('--key-type <type>', 'kind of key')
        .choices(Object.keys(keyTypes))
        .default('ecdsa-p256'),
    )
    .option('--spiffe-id <id>', 'SPIFFE ID to ask for')
    .addOption(
      new Option('--dns <name>', 'DNS name to ask for; may be repeated').argParser(collect),
    )
    .action(async (options: NewArguments, command: Command) => {
      const { parseSpiffeId } = await import('../../pki/index.ts');
      if (options.spiffeId !== undefined && parseSpiffeId(options.spiffeId) === undefined) {
        command.error("error: option '--spiffe-id': expected spiffe://TRUST-DOMAIN/PATH");
      }
      const { newIdentity } = await import('../identity/new.ts');
      const report = await newIdentity({
        name: options.name,
        directory: options.out,
        keyType: options.keyType,
        spiffeId: options.spiffeId,
        dnsNames: options.dns ?? [],
      });
      for (const line of report) print(line);
    });
}

interface ImportArguments {
  readonly name: string;
  readonly out: string;
  readonly pkcs12?: string;
  readonly passphraseFile?: string;
  readonly certificate?: string;
  readonly privateKey?: string;
}

function addImport(identity: Command): void {
  identity
    .command('import')
    .description('take over a key with its certificates, from PKCS#12 or PEM')
    .addOption(nameOption())
    .addOption(outOption())
    .addOption(
      new Option('--pkcs12 <file>', 'key and certificates in one file').conflicts([
        'certificate',
        'privateKey',
      ]),
    )
    .option('--passphrase-file <file>', 'passphrase of the PKCS#12 file; none: empty')
    .option('--certificate <file>', 'certificates (PEM), leaf first')
    .option('--private-key <file>', 'private key (PEM)')
    .action(async (options: ImportArguments, command: Command) => {
      const source = importSource(options, command);
      const { importIdentity } = await import('../identity/import.ts');
      const report = await importIdentity({
        name: options.name,
        directory: options.out,
        source,
      });
      for (const line of report) print(line);
    });
}

function importSource(options: ImportArguments, command: Command) {
  const { pkcs12, passphraseFile, certificate, privateKey } = options;
  if (pkcs12 !== undefined) {
    return { kind: 'pkcs12', file: pkcs12, passphraseFile } as const;
  }
  if (certificate === undefined || privateKey === undefined) {
    return command.error('error: give --pkcs12, or both --certificate and --private-key');
  }
  return { kind: 'pem', certificateFile: certificate, privateKeyFile: privateKey } as const;
}

interface ListArguments extends SidecarArguments {
  readonly output: OutputFormat;
}

function addList(identity: Command): void {
  identity
    .command('list')
    .description('identities of a running sidecar that the caller may use')
    .addOption(sidecarOption())
    .addOption(tokenFileOption())
    .addOption(outputOption())
    .action(async (options: ListArguments) => {
      const { listIdentities } = await import('../identity/list.ts');
      await listIdentities(offloadOptions(options), options.output);
    });
}

function addShow(identity: Command): void {
  identity
    .command('show')
    .description('everything about one identity of a running sidecar')
    .argument('<name>', 'name in the configuration of the sidecar')
    .addOption(sidecarOption())
    .addOption(tokenFileOption())
    .addOption(outputOption())
    .action(async (name: string, options: ListArguments) => {
      const { showIdentity } = await import('../identity/list.ts');
      await showIdentity(name, offloadOptions(options), options.output);
    });
}

function nameOption(): Option {
  return new Option('--name <name>', 'name of the identity, also of its files')
    .argParser((name: string) => {
      if (/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(name)) return name;
      throw new InvalidArgumentError(
        'expected up to 64 letters, digits, dots, dashes, underscores',
      );
    })
    .makeOptionMandatory();
}

function outOption(): Option {
  return new Option(
    '--out <dir>',
    'directory to write to; made if it is not there',
  ).makeOptionMandatory();
}
