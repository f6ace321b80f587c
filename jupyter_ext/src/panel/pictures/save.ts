/**
 * A picture of the page becomes a file.
 */
import { save } from '../save';

/** What of a picture becomes a file. */
export interface IBox {
  x: number;
  y: number;
  width: number;
  height: number;
}

/** Somebody wants a picture as a file. */
export type OnSave = (
  svg: SVGSVGElement,
  box: IBox,
  kind: 'svg' | 'png'
) => void;

/** The most pixels of a side of a PNG: browsers refuse larger canvases. */
const SIDE = 8000;

/** Text of an SVG file that shows what an element of the page shows. */
export function svgText(svg: SVGSVGElement, box: IBox): string {
  const copy = svg.cloneNode(true) as SVGSVGElement;
  // What is drawn is as large as it is, however it was zoomed.
  copy.querySelector('[data-zoomed]')?.removeAttribute('transform');
  copy.setAttribute('xmlns', 'http://www.w3.org/2000/svg');
  copy.setAttribute('viewBox', `${box.x} ${box.y} ${box.width} ${box.height}`);
  copy.setAttribute('width', `${box.width}`);
  copy.setAttribute('height', `${box.height}`);
  for (const node of copy.querySelectorAll('[tabindex]')) {
    node.removeAttribute('tabindex');
  }
  return new XMLSerializer().serializeToString(copy);
}

/** Download a text of an SVG file. */
export function saveSvg(text: string, name: string): void {
  save(new Blob([text], { type: 'image/svg+xml' }), `${name}.svg`);
}

/** Download it as pixels, twice as fine as it is. */
export async function savePng(text: string, name: string): Promise<void> {
  const url = URL.createObjectURL(new Blob([text], { type: 'image/svg+xml' }));
  try {
    const image = new Image();
    image.src = url;
    await image.decode();
    const scale = Math.min(2, SIDE / image.width, SIDE / image.height);
    const canvas = document.createElement('canvas');
    canvas.width = Math.ceil(image.width * scale);
    canvas.height = Math.ceil(image.height * scale);
    canvas
      .getContext('2d')!
      .drawImage(image, 0, 0, canvas.width, canvas.height);
    const blob = await new Promise<Blob | null>(resolve =>
      canvas.toBlob(resolve, 'image/png')
    );
    if (blob) {
      save(blob, `${name}.png`);
    }
  } finally {
    URL.revokeObjectURL(url);
  }
}
