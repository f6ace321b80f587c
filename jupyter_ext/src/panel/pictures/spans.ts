/**
 * The times in which something ran, so that some of it always stays in sight.
 */
import type { ITimelineView } from '../tokens';

/** From when to when (s). */
export type Span = readonly [number, number];

/** Join spans that overlap, in order of time. */
export function joinSpans(spans: readonly Span[]): Span[] {
  const joined: [number, number][] = [];
  for (const [from, to] of [...spans].sort((a, b) => a[0] - b[0])) {
    const last = joined[joined.length - 1];
    if (last && from <= last[1]) {
      last[1] = Math.max(last[1], to);
    } else {
      joined.push([from, to]);
    }
  }
  return joined;
}

/** The times in which workers of a timeline ran something. */
export function busySpans(timeline: ITimelineView, now: number): Span[] {
  return joinSpans(
    timeline.lanes.flatMap(({ intervals }) =>
      intervals.map(({ start, end }): Span => [start, end ?? now])
    )
  );
}

/** Share of what is seen that something takes at least. */
const SHARE = 0.1;

/**
 * Move a view to the nearest span where it would show none.
 *
 * @returns where the view begins
 */
export function nearestView(spans: readonly Span[], [low, high]: Span): number {
  if (!spans.length || spans.some(([a, b]) => a <= high && b >= low)) {
    return low;
  }
  const width = high - low;
  const overlap = ([a, b]: Span) => Math.min(SHARE * width, b - a);
  const before = spans.filter(([, b]) => b < low).pop();
  const after = spans.find(([a]) => a > high);
  return before && (!after || low - before[1] <= after[0] - high)
    ? before[1] - overlap(before)
    : after![0] + overlap(after!) - width;
}
