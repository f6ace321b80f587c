/** Sentences that Python writes as well: the fixtures are those of tests/test_views_words.py. */
import type { IOutput } from '@jupyterlab/nbformat';
import { nullTranslator } from '@jupyterlab/translation';
import { readFileSync } from 'fs';
import { resolve } from 'path';

import { stamped } from '../cells/stamp';
import { ICellStateView } from '../cells/tokens';
import { kindsWords } from '../components/failures';
import { jobsText } from '../components/jobs';
import { lastLine } from '../components/taskoutputs';
import { IFailureKind, MIME_TYPE } from '../tokens';
import { example } from './example';

interface IWords {
  now: number;
  jobs: { jobs: object[]; groups: object[]; text: string }[];
  last_lines: { outputs: IOutput[]; text: string }[];
  failures: { kinds: IFailureKind[]; text: string }[];
  badges: { badge: ICellStateView; text: string; html: string }[];
}

const WORDS: IWords = JSON.parse(
  readFileSync(resolve(__dirname, '../../../tests/views/words.json'), 'utf-8')
);
const trans = nullTranslator.load('desipipe');

describe('words', () => {
  it.each(WORDS.jobs.map(one => [one.text, one] as const))(
    'of jobs: %s',
    (text, { jobs, groups }) => {
      const view = example({ jobs, job_groups: groups, time: WORDS.now });
      expect(jobsText(view, trans)).toBe(text);
    }
  );

  it.each(WORDS.failures.map(one => [one.text, one] as const))(
    'of kinds of failures: %s',
    (text, { kinds }) => {
      expect(kindsWords(kinds, trans)).toBe(text);
    }
  );

  it.each(WORDS.last_lines.map(one => [one.text, one] as const))(
    'of the last line: %s',
    (text, { outputs }) => {
      expect(lastLine(outputs)).toBe(text);
    }
  );

  it.each(WORDS.badges.map(one => [one.text, one] as const))(
    'of badges: %s',
    (text, { badge, html }) => {
      const data = {
        [MIME_TYPE]: {},
        'text/plain': 'rest',
        'text/html': '<div class="desipipe-cell">rest</div>'
      };
      const found = stamped(data, badge)!;
      expect(found['text/plain']).toBe(`${text}\nrest`);
      expect(found['text/html']).toBe(
        `<div class="desipipe-cell">${html}rest</div>`
      );
    }
  );
});
