import { CST, isMap, isNode, Lexer, LineCounter, parseDocument } from 'yaml';

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

/**
 * Reads one YAML document. Aliases are refused, so that a small file stays a small value, and so is
 * nesting deeper than any setting needs: the parser is recursive, and slow on what it cannot nest.
 */
export function readYaml(text: string, file: string): YamlSource {
  const deepLine = firstLineTooDeep(text);
  if (deepLine !== undefined) {
    const place = `${file}:${String(deepLine)}`;
    return {
      value: undefined,
      problems: [`${place}: is nested too deep`],
      place: () => place,
      placeOfKey: () => place,
    };
  }
  const lines = new LineCounter();
  const document = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    logLevel: 'error',
  });
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

/** Number of the first line that nests deeper than we go; counted on tokens, in linear time. */
function firstLineTooDeep(text: string): number | undefined {
  let line = 1;
  let brackets = 0;
  /** Indicators that nest within a line: `a: b: c`, `- - -`. */
  let indicators = 0;
  for (const token of new Lexer().lex(text)) {
    switch (CST.tokenType(token)) {
      case 'newline':
        line += 1;
        indicators = 0;
        break;
      case 'comma':
        indicators = 0;
        break;
      case 'space':
        if (indicators === 0 && token.length > maxIndentation) return line;
        break;
      case 'flow-map-start':
      case 'flow-seq-start':
        brackets += 1;
        break;
      case 'flow-map-end':
      case 'flow-seq-end':
        brackets -= 1;
        break;
      case 'map-value-ind':
      case 'seq-item-ind':
      case 'explicit-key-ind':
        indicators += 1;
        break;
      default:
        break;
    }
    if (brackets > maxDepth || indicators > maxDepth) return line;
  }
  return undefined;
}

/** Settings are at most six levels deep. */
const maxDepth = 32;
const maxIndentation = 200;
