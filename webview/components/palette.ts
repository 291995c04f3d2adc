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
  const style = getComputedStyle(document.documentElement);
  const color = (name: string) => style.getPropertyValue(`--${name}`).trim();
  return {
    text: color('text'),
    dim: color('dim'),
    grid: color('grid'),
    surface: color('surface'),
    train: color('train'),
    trainFaint: color('train-faint'),
    eval: color('eval'),
    checkpoint: color('checkpoint'),
    warning: color('warning'),
  };
}
