import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { addAgentCommand } from './commands/agent.ts';
import { addAgentsCommand } from './commands/agents.ts';
import { addAuditCommand } from './commands/audit.ts';
import { addAuthorityCommand } from './commands/authority.ts';
import { addCertificatesCommand } from './commands/certificates.ts';
import { addConnectCommand } from './commands/connect.ts';
import { addDemoCommand } from './commands/demo.ts';
import { addDoctorCommand } from './commands/doctor.ts';
import { addEnrollCommand } from './commands/enroll.ts';
import { addFleetCommand } from './commands/fleet.ts';
import { addForwardCommand } from './commands/forward.ts';
import { addIdentityCommand } from './commands/identity.ts';
import { addPolicyCommand } from './commands/policy.ts';
import { addRotateCommand } from './commands/rotate.ts';
import { addServeCommand } from './commands/serve.ts';
import { addManagerCommand } from './commands/manager.ts';
import { addSidecarCommand } from './commands/sidecar.ts';
import { addTlsPolicyCommand } from './commands/tls-policy.ts';
import { addTokenCommand } from './commands/token.ts';
import { describeFailure } from './failure.ts';

/** What every command ends with. */
export const ExitCode = { done: 0, failed: 1, badUsage: 2 } as const;
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

/** Where a command line's own words go; what a command does is not among them. */
export interface CommandOutput {
  readonly writeOut: (text: string) => void;
  readonly writeErr: (text: string) => void;
}

/**
 * Runs one command line to its end.
 *
 * @param argv the arguments behind the program's name
 * @param output where help and complaints go
 * @returns the exit code; everything for people has been printed
 */
export async function run(argv: readonly string[], output = standardOutput): Promise<number> {
  let code: number = ExitCode.done;
  const program = buildProgram(output, (result) => {
    code = result;
  });
  try {
    await program.parseAsync(argv, { from: 'user' });
    return code;
  } catch (error) {
    if (error instanceof CommanderError) return exitCodeOf(error);
    output.writeErr(`sidekey: ${describeFailure(error)}\n`);
    return ExitCode.failed;
  }
}

function buildProgram(output: CommandOutput, finish: (code: number) => void): Command {
  const program = new Command('sidekey')
    .description('Handshake-offload sidecar: private keys stay out of applications, TLS stays in.')
    .version(packageVersion(), '--version', 'print the version')
    .helpOption('--help', 'print this help')
    .helpCommand(false)
    .showHelpAfterError('(see --help)')
    .configureOutput(output)
    .exitOverride();
  addSidecarCommand(program, finish);
  addServeCommand(program);
  addConnectCommand(program);
  addForwardCommand(program);
  addIdentityCommand(program);
  addEnrollCommand(program);
  addAuthorityCommand(program, finish);
  addTokenCommand(program);
  addManagerCommand(program, finish);
  addAgentCommand(program, finish);
  addAgentsCommand(program);
  addCertificatesCommand(program);
  addRotateCommand(program);
  addTlsPolicyCommand(program);
  addPolicyCommand(program);
  addAuditCommand(program, finish);
  addFleetCommand(program, finish);
  addDoctorCommand(program, finish);
  addDemoCommand(program, finish);
  return program;
}

/** commander has already printed what is wrong, or the help that was asked for. */
function exitCodeOf(error: CommanderError): ExitCode {
  return asked.has(error.code) ? ExitCode.done : ExitCode.badUsage;
}

const standardOutput: CommandOutput = {
  writeOut: (text) => process.stdout.write(text),
  writeErr: (text) => process.stderr.write(text),
};

const asked = new Set(['commander.helpDisplayed', 'commander.version']);

function packageVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  const parsed: unknown = JSON.parse(text);
  const known = typeof parsed === 'object' && parsed !== null && 'version' in parsed;
  return known && typeof parsed.version === 'string' ? parsed.version : 'unknown';
}
