/**
 * What a saved notebook says of cells that are not current, where nothing runs: in the HTML and the text beside the display, as desipipe/view/bundle.py writes them.
 */
import type { ICellModel, ICodeCellModel } from '@jupyterlab/cells';
import type * as nbformat from '@jupyterlab/nbformat';

import { MIME_TYPE } from '../tokens';
import { BADGE_SYMBOLS, ICellStateView } from './tokens';

const BEGIN = '<div class="desipipe-cell">';
const BADGE = /^<div class="desipipe-badge"><b>[^<]*<\/b><\/div>/;

/** A bundle that says the state of its cell; `null` if it does already. */
export function stamped(
  data: nbformat.IMimeBundle,
  state: ICellStateView | null
): nbformat.IMimeBundle | null {
  const summary = data[MIME_TYPE] as unknown as { badge?: IBadgeView };
  const badge = state && { state: state.state, reason: state.reason };
  const before = summary.badge ?? null;
  const same =
    badge?.state === before?.state && badge?.reason === before?.reason;
  if (same) {
    return null;
  }
  const rest = { ...summary };
  delete rest.badge;
  const html = joined(data['text/html']);
  const text = joined(data['text/plain']);
  const inner = html.slice(BEGIN.length).replace(BADGE, '');
  return {
    ...data,
    [MIME_TYPE]: (badge ? { ...rest, badge } : rest) as never,
    ...(html.startsWith(BEGIN) && {
      'text/html': `${BEGIN}${badge ? badgeHtml(badge) : ''}${inner}`
    }),
    'text/plain':
      (badge ? `${words(badge)}\n` : '') +
      (before ? text.slice(text.indexOf('\n') + 1) : text)
  };
}

interface IBadgeView {
  state: keyof typeof BADGE_SYMBOLS;
  reason: string;
}

/** As `desipipe.view.text.badge_text`. */
function words({ state, reason }: IBadgeView): string {
  const text = `${BADGE_SYMBOLS[state]} ${state}`;
  return reason ? `${text}: ${reason}` : text;
}

/** As `desipipe.view.bundle.badge_html`. */
function badgeHtml(badge: IBadgeView): string {
  const node = document.createElement('b');
  node.textContent = words(badge);
  const text = node.innerHTML.replace(/"/g, '&quot;').replace(/'/g, '&#x27;');
  return `<div class="desipipe-badge"><b>${text}</b></div>`;
}

function joined(value: unknown): string {
  return Array.isArray(value) ? value.join('') : `${value ?? ''}`;
}

/** Have the last display of a cell say its state, before the notebook is saved. */
export function stamp(cell: ICellModel, state: ICellStateView | null): void {
  if (cell.type !== 'code') {
    return;
  }
  const { outputs } = cell as ICodeCellModel;
  for (let i = outputs.length - 1; i >= 0; i--) {
    const output = outputs.get(i).toJSON();
    const data = output.data as nbformat.IMimeBundle | undefined;
    if (data?.[MIME_TYPE]) {
      const found = stamped(data, state);
      if (found) {
        outputs.set(i, { ...output, data: found });
      }
      return;
    }
  }
}
