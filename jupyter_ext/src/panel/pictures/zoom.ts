/**
 * Zooming and moving by wheel, fingers, drag and buttons: d3-zoom (ISC, 3 kB compressed, what most pictures of the web use).
 */
import { select } from 'd3-selection';
import {
  D3ZoomEvent,
  zoom,
  ZoomBehavior,
  zoomIdentity,
  ZoomTransform
} from 'd3-zoom';
import React from 'react';

/** How a picture is looked at, and what changes it. */
export interface IZoom {
  transform: ZoomTransform;
  by: (factor: number) => void;
  to: (transform: ZoomTransform) => void;
}

export { zoomIdentity, ZoomTransform };

/** Space around a picture that may be seen, px. */
const MARGIN = 40;

/**
 * Let a picture be zoomed, between two factors.
 *
 * @param bounds - width and height of what is drawn: some of it always stays in sight
 * @param keep - what else keeps something in sight, where much of what is drawn is empty
 */
export function useZoom(
  svg: React.RefObject<SVGSVGElement>,
  extent: [number, number],
  once: unknown,
  bounds?: readonly [number, number],
  keep: (transform: ZoomTransform) => ZoomTransform = transform => transform
): IZoom {
  const kept = React.useRef(keep);
  kept.current = keep;
  const [transform, setTransform] = React.useState(zoomIdentity);
  const behavior = React.useRef<ZoomBehavior<SVGSVGElement, unknown>>();
  React.useEffect(() => {
    if (!svg.current) {
      return;
    }
    const it = zoom<SVGSVGElement, unknown>()
      .scaleExtent(extent)
      .on('zoom', (event: D3ZoomEvent<SVGSVGElement, unknown>) =>
        setTransform(event.transform)
      );
    const constrain = it.constrain();
    it.constrain((transform, extent, limits) =>
      kept.current(constrain(transform, extent, limits))
    );
    behavior.current = it;
    const selection = select(svg.current);
    selection.call(it).on('dblclick.zoom', null);
    return () => {
      selection.on('.zoom', null);
    };
  }, [once]);
  const [width, height] = bounds ?? [0, 0];
  React.useEffect(() => {
    if (width && height) {
      behavior.current?.translateExtent([
        [-MARGIN, -MARGIN],
        [width + MARGIN, height + MARGIN]
      ]);
    }
  }, [once, width, height]);
  return {
    transform,
    by: factor => {
      if (svg.current && behavior.current) {
        behavior.current.scaleBy(select(svg.current), factor);
      }
    },
    to: next => {
      if (svg.current && behavior.current) {
        behavior.current.transform(select(svg.current), next);
      }
    }
  };
}

/**
 * Show the same times where an axis of time has become another one.
 *
 * @param transform - of the axis from `before[0]` to `before[1]` (s)
 * @param range - where that axis begins and ends, px
 * @returns the one of the axis from `now[0]` to `now[1]`
 */
export function sameTimes(
  transform: ZoomTransform,
  before: readonly [number, number],
  now: readonly [number, number],
  [left, right]: readonly [number, number]
): ZoomTransform {
  const length = (span: readonly [number, number]) =>
    Math.max(span[1] - span[0], 0.001);
  const from =
    before[0] +
    ((transform.invertX(left) - left) / (right - left)) * length(before);
  const k = (transform.k * length(now)) / length(before);
  const at = left + ((from - now[0]) / length(now)) * (right - left);
  return zoomIdentity.translate(left - k * at, transform.y).scale(k);
}
