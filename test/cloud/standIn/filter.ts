/** Filters of list requests, as far as the product writes them: comparisons that all must hold. */

type Resource = Record<string, unknown>;

/** Undefined where the filter is not understood: Google refuses it then. */
export function parseFilter(filter: string): ((resource: Resource) => boolean) | undefined {
  const parts = filter.match(
    /\([^()]*\)|[^\s()]+\s+(?:eq|ne|=|!=|:)\s+(?:"[^"]*"|[^\s()]+)|[^\s()]+[=:](?:"[^"]*"|[^\s()]+)/g,
  );
  if (!parts || parts.join('').replaceAll(/\s/g, '') !== filter.replaceAll(/\s|\bAND\b/g, '')) {
    // An expression in brackets holds blanks of its own.
    if (
      !parts ||
      parts.join(' ') !==
        filter
          .trim()
          .replaceAll(/\s+AND\s+/g, ' ')
          .replaceAll(/\s+/g, ' ')
    )
      return undefined;
  }
  const tests = parts.map((part) => comparison(part.replace(/^\(|\)$/g, '')));
  if (tests.includes(undefined)) return undefined;
  return (resource) => tests.every((test) => test!(resource));
}

function comparison(text: string): ((resource: Resource) => boolean) | undefined {
  const found = /^([\w.-]+)\s*(eq|ne|=|!=|:)\s*(?:"([^"]*)"|(\S+))$/.exec(text.trim());
  if (!found) return undefined;
  const [, field = '', operator, quoted, bare] = found;
  const wanted = quoted ?? bare ?? '';
  const value = (resource: Resource) => String(fieldOf(resource, field) ?? '');
  if (operator === '=') return (resource) => value(resource) === wanted;
  if (operator === '!=') return (resource) => value(resource) !== wanted;
  if (operator === ':')
    return (resource) => fieldOf(resource, field) !== undefined && (wanted === '*' || value(resource).includes(wanted));
  // Regular expressions, for the whole of the field.
  const pattern = new RegExp(`^(?:${wanted})$`);
  return (resource) => pattern.test(value(resource)) === (operator === 'eq');
}

function fieldOf(resource: Resource, path: string): unknown {
  const [first = '', ...rest] = path.split('.');
  const value = resource[first];
  return rest.length === 0 ? value : (value as Resource | undefined)?.[rest.join('.')];
}
