import { joinSpans, nearestView, Span } from '../panel/pictures/spans';

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
