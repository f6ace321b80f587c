/**
 * The badge of each task cell: one line below its text.
 */
import type { Cell } from '@jupyterlab/cells';
import type { Notebook } from '@jupyterlab/notebook';
import type { TranslationBundle } from '@jupyterlab/translation';

import type { CellStates } from './model';
import { BadgeState, BADGE_SYMBOLS, ICellStateView } from './tokens';

/** Words of a state, in the reader's language. */
export function badgeWords(
  state: BadgeState,
  trans: TranslationBundle
): string {
  switch (state) {
    case 'current':
      return trans.__('current');
    case 'edited':
      return trans.__('edited');
    case 'stale':
      return trans.__('stale');
    case 'running':
      return trans.__('running');
    case 'paused':
      return trans.__('paused');
    case 'no worker':
      return trans.__('no worker');
    case 'failed':
      return trans.__('failed');
    case 'never run':
      return trans.__('never run');
    case 'unknown':
      return trans.__('unknown');
  }
}

/** Keep the badges of a notebook up to date, as long as the notebook and its states live. */
export function showBadges(
  notebook: Notebook,
  states: CellStates,
  trans: TranslationBundle
): void {
  const nodes = new WeakMap<Cell, HTMLElement>();
  const show = (cell: Cell) => {
    const state = cell.isDisposed ? null : states.get(cell.model);
    let node = nodes.get(cell);
    if (!state) {
      node?.remove();
      return;
    }
    if (!node) {
      node = document.createElement('div');
      nodes.set(cell, node);
    }
    fill(node, state, trans);
    place(node, cell.node);
  };
  const showAll = () => {
    if (!notebook.isDisposed) {
      notebook.widgets.forEach(show);
    }
  };
  states.changed.connect(showAll);
  notebook.cellInViewportChanged.connect((_, cell) => show(cell));
  showAll();
}

/** Write a state into a badge; nothing is touched that is the same. */
export function fill(
  node: HTMLElement,
  { state, reason }: ICellStateView,
  trans: TranslationBundle
): void {
  const words = badgeWords(state, trans);
  const text = reason ? `${words}: ${reason}` : words;
  if (node.dataset.badge === state && node.dataset.text === text) {
    return;
  }
  node.className = 'jp-desipipe-Badge';
  node.dataset.badge = state;
  node.dataset.text = text;
  const symbol = document.createElement('span');
  symbol.setAttribute('aria-hidden', 'true');
  symbol.textContent = BADGE_SYMBOLS[state];
  const said = document.createElement('span');
  said.textContent = text;
  said.title = text;
  node.replaceChildren(symbol, said);
}

/** Put a badge below the text of its cell, which JupyterLab makes when it is first seen. */
function place(node: HTMLElement, cell: HTMLElement): void {
  const input = cell.querySelector(':scope > .jp-Cell-inputWrapper');
  if (input && input.nextElementSibling !== node) {
    input.after(node);
  }
}
