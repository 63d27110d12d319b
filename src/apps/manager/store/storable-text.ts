/** Text in the form both databases take: PostgreSQL knows no NUL. */
export function storableText(text: string): string {
  return text.replaceAll('\0', '\uFFFD');
}
