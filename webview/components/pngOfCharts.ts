/** One picture of all charts, as they lie on the page, with their titles on the page's ground. */
import type { Palette } from './palette';

export function pngOfCharts(figures: readonly HTMLElement[], title: string, palette: Palette): string {
  const boxes = figures.map((figure) => figure.getBoundingClientRect());
  const left = Math.min(...boxes.map((box) => box.left));
  const top = Math.min(...boxes.map((box) => box.top));
  const width = Math.max(...boxes.map((box) => box.right)) - left;
  const height = Math.max(...boxes.map((box) => box.bottom)) - top;
  const margin = 16;
  const head = 28;
  const ratio = Math.max(2, window.devicePixelRatio);
  const canvas = document.createElement('canvas');
  canvas.width = (width + 2 * margin) * ratio;
  canvas.height = (height + head + 2 * margin) * ratio;
  const context = canvas.getContext('2d')!;
  const { fontFamily } = getComputedStyle(document.body);
  context.scale(ratio, ratio);
  context.fillStyle = palette.surface;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.fillStyle = palette.text;
  context.font = `600 14px ${fontFamily}`;
  context.fillText(title, margin, margin + 12);
  context.font = `600 11px ${fontFamily}`;
  figures.forEach((figure, i) => {
    const box = boxes[i]!;
    const chart = figure.querySelector('canvas')!;
    const place = chart.getBoundingClientRect();
    const y = head + margin - top;
    context.fillStyle = palette.text;
    context.fillText(figure.querySelector('figcaption')?.textContent ?? '', margin + box.left - left, y + box.top + 11);
    context.drawImage(chart, margin + place.left - left, y + place.top, place.width, place.height);
  });
  return canvas.toDataURL('image/png').replace(/^data:image\/png;base64,/, '');
}
