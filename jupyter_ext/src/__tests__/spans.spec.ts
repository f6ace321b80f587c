import { sameTimes, zoomIdentity } from '../panel/pictures/zoom';
import { joinSpans, nearestView, Span } from '../panel/pictures/spans';

describe('a zoomed axis', () => {
  it('shows the same times where there is more of it', () => {
    const range = [100, 300] as const;
    /** Where a time is on an axis from one time to another. */
    const at = (time: number, [low, high]: Span) =>
      range[0] + ((time - low) / (high - low)) * (range[1] - range[0]);
    const before = zoomIdentity.translate(-250, 7).scale(3);
    const now = sameTimes(before, [50, 90], [40, 190], range);
    for (const time of [55, 63.5]) {
      expect(now.applyX(at(time, [40, 190]))).toBeCloseTo(
        before.applyX(at(time, [50, 90]))
      );
    }
    expect(now.y).toBe(7);
    const same = sameTimes(before, [50, 90], [50, 90], range);
    expect([same.k, same.y]).toEqual([before.k, before.y]);
    expect(same.x).toBeCloseTo(before.x);
  });
});

describe('spans', () => {
  const spans: Span[] = [
    [0, 10],
    [100, 101]
  ];

  it('are joined where they overlap', () => {
    expect(
      joinSpans([
        [5, 7],
        [0, 6],
        [20, 21],
        [1, 2]
      ])
    ).toEqual([
      [0, 7],
      [20, 21]
    ]);
  });

  it.each([
    [2, 3, 2], // something is seen
    [9, 99, 9],
    [20, 30, 9], // nearest to what was before
    [85, 95, 91], // nearest to what comes
    [200, 210, 100], // after all of it
    [-30, -20, -9] // before all of it
  ])('keep a view from %d to %d at them', (low, high, from) => {
    expect(nearestView(spans, [low, high])).toBe(from);
  });

  it('leave a view alone where nothing ran', () => {
    expect(nearestView([], [3, 4])).toBe(3);
  });
});
