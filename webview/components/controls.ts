/** The controls of panels. The only place that knows which toolkit draws them. */
import {
  provideVSCodeDesignSystem,
  vsCodeButton,
  vsCodeCheckbox,
  vsCodeDropdown,
  vsCodeOption,
  vsCodeTextArea,
  vsCodeTextField,
} from '@vscode/webview-ui-toolkit';
import { html, nothing, type TemplateResult } from 'lit';
import { live } from 'lit/directives/live.js';
import { unlessEdited } from './unlessEdited';

provideVSCodeDesignSystem().register(
  vsCodeButton(),
  vsCodeCheckbox(),
  vsCodeDropdown(),
  vsCodeOption(),
  vsCodeTextArea(),
  vsCodeTextField(),
);

interface ButtonOptions {
  label: string;
  onClick(): void;
  /** What it does, where the label alone does not say. */
  title?: string;
  kind?: 'primary' | 'secondary' | 'icon';
  disabled?: boolean;
  pressed?: boolean;
}

export function button({
  label,
  onClick,
  title,
  kind = 'secondary',
  disabled,
  pressed,
}: ButtonOptions): TemplateResult {
  return html`<vscode-button
    appearance=${kind}
    title=${title ?? nothing}
    aria-label=${title ?? label}
    aria-pressed=${pressed === undefined ? nothing : String(pressed)}
    ?disabled=${disabled ?? false}
    @click=${onClick}
    >${label}</vscode-button
  >`;
}

export function checkbox(
  label: string,
  checked: boolean,
  onChange: (checked: boolean) => void,
  title?: string,
): TemplateResult {
  return html`<vscode-checkbox
    title=${title ?? nothing}
    .checked=${live(checked)}
    @change=${(event: Event) => {
      // It also tells of what is set here.
      const now = (event.target as HTMLInputElement).checked;
      if (now !== checked) onChange(now);
    }}
    >${label}</vscode-checkbox
  >`;
}

export function dropdown<V extends string>(
  label: string,
  value: V,
  options: readonly { value: V; label: string }[],
  onChange: (value: V) => void,
): TemplateResult {
  return html`<label class="control"
    ><span>${label}</span
    ><vscode-dropdown aria-label=${label} @change=${(event: Event) => onChange((event.target as HTMLSelectElement).value as V)}
      >${options.map(
        (option) =>
          html`<vscode-option value=${option.value} ?selected=${option.value === value}>${option.label}</vscode-option>`,
      )}</vscode-dropdown
    ></label
  >`;
}

interface NumberOptions {
  label: string;
  value: number;
  min: number;
  max?: number;
  whole?: boolean;
  title?: string;
  disabled?: boolean;
  onChange(value: number): void;
}

// A text field is named by the text in it, whatever `aria-label` says; styles hide that text.

/** A number; what is none, or out of range, is put back. */
export function numberField({
  label,
  value,
  min,
  max,
  whole,
  title,
  disabled,
  onChange,
}: NumberOptions): TemplateResult {
  const change = (event: Event) => {
    const field = event.target as HTMLInputElement;
    const entered = Number(field.value.trim().replace(',', '.'));
    const valid =
      field.value.trim() !== '' &&
      entered >= min &&
      entered <= (max ?? Number.POSITIVE_INFINITY) &&
      (!whole || Number.isInteger(entered));
    if (!valid) field.value = String(value);
    else if (entered !== value) onChange(entered);
  };
  return html`<label class="control" title=${title ?? nothing}
    ><span>${label}</span
    ><vscode-text-field
      class="number"
      .value=${unlessEdited(String(value))}
      ?disabled=${disabled ?? false}
      @change=${change}
      >${label}</vscode-text-field
  ></label>`;
}

interface TextOptions {
  label: string;
  value: string;
  placeholder?: string;
  rows?: number;
  onChange(value: string): void;
}

/** A text of several lines; Ctrl/Cmd+Enter, and leaving it, take it over. */
export function textArea({ label, value, placeholder, rows = 2, onChange }: TextOptions): TemplateResult {
  const take = (event: Event) => {
    const text = (event.target as HTMLTextAreaElement).value;
    if (text !== value) onChange(text);
  };
  const key = (event: KeyboardEvent) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) take(event);
  };
  return html`<vscode-text-area
    placeholder=${placeholder ?? nothing}
    rows=${rows}
    resize="vertical"
    .value=${unlessEdited(value)}
    @change=${take}
    @keydown=${key}
    >${label}</vscode-text-area
  >`;
}

/** `shown`: the value as people read it. */
export function slider(options: {
  label: string;
  value: number;
  min: number;
  max: number;
  step: number;
  shown: string;
  onInput(value: number): void;
}): TemplateResult {
  return html`<label class="control"
    ><span>${options.label}</span
    ><input
      type="range"
      min=${options.min}
      max=${options.max}
      step=${options.step}
      .value=${live(String(options.value))}
      aria-valuetext=${options.shown}
      title=${options.shown}
      @input=${(event: Event) => options.onInput(Number((event.target as HTMLInputElement).value))}
  /></label>`;
}
