import { nullTranslator } from '@jupyterlab/translation';

import { clock, duration, moment } from '../format';

const trans = nullTranslator.load('desipipe');

describe('format', () => {
  it.each([
    [0, '0:00'],
    [-3, '0:00'],
    [8, '0:08'],
    [59.6, '1:00'],
    [725, '12:05'],
    [3600, '1:00:00'],
    [90061, '25:01:01']
  ])('shows %d s that pass as %s', (seconds, text) => {
    expect(clock(seconds)).toBe(text);
  });

  it.each([
    [0.31, '0.3 s'],
    [25, '25 s'],
    [59.7, '1 min 0 s'],
    [185, '3 min 5 s'],
    [7800, '2 h 10 min'],
    [7140, '1 h 59 min'],
    [7199, '2 h 0 min']
  ])('says of %d s that have passed: %s', (seconds, text) => {
    expect(duration(seconds, trans)).toBe(text);
  });

  it('names the day of a moment unless it is today', () => {
    const now = new Date(2026, 10, 22, 12).getTime();
    const today = moment(now / 1000 - 60, 'medium', now);
    expect(today).toBe(new Date(now - 60_000).toLocaleTimeString());
    const dateStyle = 'medium';
    expect(moment(now / 1000 - 86400, dateStyle, now)).toContain(
      new Date(now - 86400_000).toLocaleDateString(undefined, { dateStyle })
    );
    expect(moment(now / 1000 - 60, 'short', now)).toHaveLength(
      today.length - ':00'.length
    );
  });
});
