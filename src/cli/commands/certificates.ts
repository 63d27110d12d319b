import { type Command, Option } from 'commander';
import { parseId, parseSerial } from '../authority/identifiers.ts';
import { commentOption, endsWithinOption, revocationReasonOption } from './agents.ts';
import { administer, type PrintingArguments, withPrintingOptions } from './authority-options.ts';
import { limitOption } from './token.ts';

/** `sidekey certificates list | show | revoke`. */
export function addCertificatesCommand(program: Command): void {
  const certificates = program.command('certificates').description('what the authority has issued');
  addList(certificates);
  addShow(certificates);
  addRevoke(certificates);
}

interface ListArguments extends PrintingArguments {
  readonly agent?: Buffer;
  readonly state?: string;
  readonly endsWithin?: number;
  readonly limit: number;
}

function addList(certificates: Command): void {
  withPrintingOptions(
    certificates.command('list').description('certificates, those that end last first'),
  )
    .addOption(new Option('--agent <uuid>', 'only of this agent').argParser(parseId))
    .addOption(
      new Option('--state <state>', 'only in this state').choices([
        'issued',
        'confirmed',
        'superseded',
        'revoked',
        'expired',
        'reserved',
        'void',
      ]),
    )
    .addOption(endsWithinOption())
    .addOption(limitOption())
    .action(async (options: ListArguments, command: Command) => {
      const { listCertificates } = await import('../authority/certificates.ts');
      const filter = {
        agent: options.agent,
        state: options.state,
        endsWithinSeconds: options.endsWithin,
      };
      await administer(options, command, (client) =>
        listCertificates(client, filter, options.limit, options.output),
      );
    });
}

function addShow(certificates: Command): void {
  withPrintingOptions(certificates.command('show').description('everything about one, with PEM'))
    .addArgument(
      certificates.createArgument('<serial>', 'serial number').argParser<Buffer>(parseSerial),
    )
    .action(async (serial: Buffer, options: PrintingArguments, command: Command) => {
      const { showCertificate } = await import('../authority/certificates.ts');
      await administer(options, command, (client) =>
        showCertificate(client, serial, options.output),
      );
    });
}

interface RevokeArguments extends PrintingArguments {
  readonly reason: string;
  readonly comment: string;
}

function addRevoke(certificates: Command): void {
  withPrintingOptions(
    certificates
      .command('revoke')
      .description('one certificate; to keep its host from renewing see agents revoke'),
  )
    .addArgument(
      certificates.createArgument('<serial>', 'serial number').argParser<Buffer>(parseSerial),
    )
    .addOption(revocationReasonOption())
    .addOption(commentOption())
    .action(async (serial: Buffer, options: RevokeArguments, command: Command) => {
      const { revokeCertificate } = await import('../authority/certificates.ts');
      await administer(options, command, (client) =>
        revokeCertificate(client, serial, options.reason, options.comment, options.output),
      );
    });
}
