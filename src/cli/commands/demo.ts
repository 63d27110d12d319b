import { type Command, Option } from 'commander';

interface DemoArguments {
  readonly stockPeer?: 'openssl' | 'node';
}

/** `sidekey demo`: the main job on one machine. */
export function addDemoCommand(program: Command, finish: (code: number) => void): void {
  program
    .command('demo')
    .description(
      'show the whole thing on this machine: two sidecars, two applications, stock peers',
    )
    .addOption(
      new Option(
        '--stock-peer <which>',
        'TLS program to talk to besides ours; default: openssl if it is installed, else node:tls',
      ).choices(['openssl', 'node']),
    )
    .action(async (options: DemoArguments) => {
      const { runDemo } = await import('../demo/demo.ts');
      finish((await runDemo({ stockPeer: options.stockPeer })) ? 0 : 1);
    });
}
