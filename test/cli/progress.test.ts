import { expect } from 'chai';
import { createProgress } from '../../src/cli/progress.ts';

function output(isTTY: boolean): {
  text: string;
  isTTY: boolean;
  columns: number;
  write(text: string): void;
} {
  return {
    text: '',
    isTTY,
    columns: 60,
    write(text) {
      this.text += text;
    },
  };
}

describe('progress', () => {
  it('is drawn over itself on a terminal, never wider than that', () => {
    const terminal = output(true);
    const progress = createProgress('restart', terminal);
    progress.show(1, 4);
    progress.show(4, 4, 'a long note that does not fit on the line any more');
    progress.end();
    const drawn = terminal.text.split('\r\u001b[K').slice(1);
    expect(drawn[0]).to.equal(`restart ${'█'.repeat(6)}${'░'.repeat(18)} 1 of 4`);
    expect(drawn[1]?.trimEnd()).to.have.length.below(60);
    expect(terminal.text.endsWith('\n')).to.equal(true);
  });

  it('is a line for every tenth elsewhere', () => {
    const file = output(false);
    const progress = createProgress('restart', file);
    for (let done = 0; done <= 100; done += 1) progress.show(done, 100);
    progress.end();
    expect(file.text.trim().split('\n')).to.have.length(10);
  });

  it('cannot be made to control the terminal', () => {
    const terminal = output(true);
    createProgress('\u001b]0;x', terminal).show(0, 1, '\u0007');
    for (const evil of ['\u001b]', '\u0007']) expect(terminal.text).to.not.contain(evil);
  });
});
