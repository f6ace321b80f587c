/**
 * Marks beside the headings of a notebook in the table of contents: what is not current in their sections.
 */
import type { TableOfContents } from '@jupyterlab/toc';
import { Signal } from '@lumino/signaling';

import { BadgeState, BADGE_SYMBOLS } from './tokens';

const ATTRIBUTE = 'data-desipipe-mark';
/** What is marked, the first first. */
const MARKED: readonly BadgeState[] = [
  'failed',
  'paused',
  'no worker',
  'running',
  'edited',
  'stale',
  'never run'
];

/** The symbols of what is not current in a section. */
export function markOf(states: readonly BadgeState[]): string {
  return MARKED.filter(state => states.includes(state))
    .map(state => BADGE_SYMBOLS[state])
    .join('');
}

/**
 * Mark the headings of a table of contents.
 *
 * @param model - of the notebook's table of contents
 * @param states - of each cell of the notebook, `null` of those that are no task cells
 * @param placeOf - the place in the notebook of a heading's cell; -1 if it has none
 */
export function markHeadings(
  model: TableOfContents.IModel<TableOfContents.IHeading>,
  states: readonly (BadgeState | null)[],
  placeOf: (heading: TableOfContents.IHeading) => number
): void {
  const { headings } = model;
  let changed = false;
  headings.forEach((heading, i) => {
    const next = headings
      .slice(i + 1)
      .find(other => other.level <= heading.level);
    const begin = placeOf(heading);
    const end = next ? placeOf(next) : states.length;
    const inside = begin < 0 ? [] : states.slice(begin, end);
    const mark = markOf(inside.filter(state => state !== null));
    if ((heading.dataset?.[ATTRIBUTE] ?? '') !== mark) {
      heading.dataset = { ...heading.dataset, [ATTRIBUTE]: mark };
      changed = true;
    }
  });
  // It is drawn again when its state changes; there is no other way to say so.
  if (changed && model.stateChanged instanceof Signal) {
    (model.stateChanged as Signal<unknown, void>).emit();
  }
}
