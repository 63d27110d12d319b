/** A configuration, or a file it names, is unusable. Holds everything that is wrong, not the first. */
export class ConfigurationError extends Error {
  override readonly name = 'ConfigurationError';
  /** One line each: place, setting, what is wrong. */
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join('\n'));
    this.problems = problems;
  }
}
