/** Quantities that Python writes as well: the samples are those of tests/test_views_words.py. */
import { nullTranslator } from '@jupyterlab/translation';
import { readFileSync } from 'fs';
import { resolve } from 'path';

import { costWords } from '../cells/plan';
import { stateWords } from '../components/status';
import {
  bytes,
  clock,
  duration,
  moment,
  number,
  pace,
  processors,
  timeLeft
} from '../format';
import { conditionWords } from '../panel/components/bits';

const FORMATS = JSON.parse(
  readFileSync(resolve(__dirname, '../../../tests/views/formats.json'), 'utf-8')
);
const trans = nullTranslator.load('desipipe');

const FORMATTERS: Record<string, (value: number) => string> = {
  durations: value => duration(value, trans),
  clocks: value => clock(value, trans),
  bytes: value => bytes(value, trans),
  counts: value => number(value),
  plurals: value => trans._n('%2 task', '%2 tasks', value, number(value)),
  cpus: value => processors(value, trans),
  rates: value => pace(value, trans),
  costs: value =>
    costWords({ node_hours: value, charge: 2 * value }, trans).join(', '),
  left: value => timeLeft(value, trans)
};
const CASES = Object.keys(FORMATTERS).flatMap(kind =>
  (FORMATS[kind] as [number, string][]).map(
    ([value, text]) => [kind, value, text] as const
  )
);

describe('format', () => {
  it.each(CASES)('shows of %s %d as %s', (kind, value, text) => {
    expect(FORMATTERS[kind](value)).toBe(text);
  });

  it('names states and conditions as the terminal does', () => {
    expect(stateWords(trans)).toEqual(FORMATS.states);
    expect(conditionWords(trans)).toEqual(FORMATS.conditions);
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
