/** The page's colours, as charts need them: the values of its CSS variables under the present colour scheme. */
export interface Palette {
  text: string;
  dim: string;
  grid: string;
  surface: string;
  train: string;
  trainFaint: string;
  eval: string;
  checkpoint: string;
  warning: string;
}

export function readPalette(): Palette {
  return {
    text: readColor('text'),
    dim: readColor('dim'),
    grid: readColor('grid'),
    surface: readColor('surface'),
    train: readColor('train'),
    trainFaint: readColor('train-faint'),
    eval: readColor('eval'),
    checkpoint: readColor('checkpoint'),
    warning: readColor('warning'),
  };
}

/** A panel's: no theme has a colour for grids that is faint in all of them. */
export function readPanelPalette(): Palette {
  const palette = readPalette();
  return { ...palette, grid: faint(palette.grid, 0.3) };
}

/** The value of one CSS variable. */
export function readColor(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** A colour as a canvas writes it, more transparent: themes write theirs in every way that CSS has. */
export function faint(color: string, alpha: number): string {
  const key = `${color} ${alpha}`;
  const known = made.get(key) ?? transparent(color, alpha);
  made.set(key, known);
  return known;
}

const made = new Map<string, string>();

function transparent(color: string, alpha: number): string {
  const context = document.createElement('canvas').getContext('2d')!;
  context.fillStyle = color;
  const plain = context.fillStyle;
  const [, r, g, b, a = '1'] = /^rgba?\((\d+), (\d+), (\d+)(?:, ([\d.]+))?\)$/.exec(plain) ?? [];
  if (r !== undefined) return `rgba(${r}, ${g}, ${b}, ${Number(a) * alpha})`;
  return `${plain}${Math.round(alpha * 255)
    .toString(16)
    .padStart(2, '0')}`;
}
