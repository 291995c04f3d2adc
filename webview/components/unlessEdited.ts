/** For the `.value` of a field: what is given, but never in place of what a person is just writing there. */
import { noChange, type PropertyPart } from 'lit';
import { Directive, directive } from 'lit/directive.js';

class UnlessEdited extends Directive {
  #given: string | undefined;

  render(value: string): string {
    return value;
  }

  override update(part: PropertyPart, [value]: [string]): string | typeof noChange {
    const field = part.element as HTMLInputElement;
    // A page is drawn anew for many reasons; only another value is one to replace what is written.
    const isOther = value !== this.#given;
    this.#given = value;
    if (field.value === value || (document.activeElement === field && !isOther)) return noChange;
    // Lit itself compares with what was given last, not with what stands there.
    field.value = value;
    return noChange;
  }
}

export const unlessEdited = directive(UnlessEdited);
