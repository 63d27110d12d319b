import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { z } from 'zod';
import { configSchema } from '../../src/sidecar/config-schema.ts';

/** Paths of all settings, as `doc/configuration.md` writes them. */
function settings(schema: unknown, path = ''): readonly string[] {
  if (
    schema instanceof z.ZodOptional ||
    schema instanceof z.ZodDefault ||
    schema instanceof z.ZodPrefault
  ) {
    return settings(schema.unwrap(), path);
  }
  if (schema instanceof z.ZodArray && !(schema.element instanceof z.ZodEnum)) {
    return schema.element instanceof z.ZodString ? [path] : settings(schema.element, `${path}[]`);
  }
  if (schema instanceof z.ZodUnion) {
    const variants = schema.options.map((option) => settings(option, path));
    return [...new Set(variants.flat())];
  }
  if (schema instanceof z.ZodRecord) return settings(schema.valueType, `${path}.NAME`);
  if (schema instanceof z.ZodObject) {
    const prefix = path === '' ? '' : `${path}.`;
    return Object.entries(schema.shape).flatMap(([name, part]) =>
      settings(part, `${prefix}${name}`),
    );
  }
  return [path];
}

describe('doc/configuration.md', () => {
  const text = readFileSync(new URL('../../doc/configuration.md', import.meta.url), 'utf8');
  const documented = new Set(
    [...text.matchAll(/`([a-zA-Z0-9[\].]+)`(?=[^\n]*\|)/g)].map(([, name]) => name),
  );

  it('is about the settings there are', () => {
    const all = settings(configSchema);
    expect(all).to.include('listen[].allow[].tokenFile');
    expect(all).to.include('tls.handshakeTimeout');
    expect(all.length).to.be.greaterThan(35);
  });

  for (const setting of settings(configSchema)) {
    it(`describes ${setting}`, () => {
      expect(documented.has(setting), setting).to.equal(true);
    });
  }

  it('describes no setting that does not exist', () => {
    const rows = [...text.matchAll(/^\| ((?:`[^`]+`(?:, )?)+)/gm)].flatMap(([, cell = '']) =>
      [...cell.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name),
    );
    const all = new Set([...settings(configSchema), 'listen[].allow[]']);
    expect(rows.filter((name) => !all.has(name))).to.deep.equal([]);
  });
});
