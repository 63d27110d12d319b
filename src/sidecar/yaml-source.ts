import { isMap, isNode, LineCounter, parseDocument } from 'yaml';

/** A parsed YAML document that still knows where each value stood. */
export interface YamlSource {
  readonly value: unknown;
  /** Problems of syntax, one line each, with their place. */
  readonly problems: readonly string[];
  /** `file:line` of a setting, or of the nearest thing around it that exists. */
  place(path: readonly PropertyKey[]): string;
  /** `file:line` of a key of the map at `path`. */
  placeOfKey(path: readonly PropertyKey[], key: string): string;
}

/** Reads one YAML document; aliases are refused, so that a small file stays a small value. */
export function readYaml(text: string, file: string): YamlSource {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const at = (offset: number | undefined): string =>
    offset === undefined ? file : `${file}:${String(lines.linePos(offset).line)}`;
  const nodeAt = (path: readonly PropertyKey[]): unknown =>
    path.length === 0 ? document.contents : document.getIn(path, true);
  const problems = document.errors.map(
    (error) => `${at(error.pos[0])}: ${error.message.split('\n')[0] ?? error.code}`,
  );
  return {
    value: problems.length > 0 ? undefined : toValue(document, problems, file),
    problems,
    place(path) {
      for (let length = path.length; length >= 0; length -= 1) {
        const node = nodeAt(path.slice(0, length));
        if (isNode(node) && node.range) return at(node.range[0]);
      }
      return file;
    },
    placeOfKey(path, key) {
      const map = nodeAt(path);
      if (!isMap(map)) return this.place(path);
      for (const { key: node } of map.items) {
        if (isNode(node) && node.range && node.toJSON() === key) return at(node.range[0]);
      }
      return this.place(path);
    },
  };
}

function toValue(
  document: ReturnType<typeof parseDocument>,
  problems: string[],
  file: string,
): unknown {
  try {
    return document.toJS({ maxAliasCount: 0 });
  } catch (error) {
    problems.push(`${file}: ${error instanceof Error ? error.message : String(error)}`);
    return undefined;
  }
}
