/**
 * What failures have in common, in words.
 */
import type { TranslationBundle } from '@jupyterlab/translation';

import { number } from '../format';
import type { IFailureKind } from '../tokens';

/** Kinds of failures that a line names. */
const NAMED = 3;

/** Characters of each. */
const LENGTH = 40;

/** Causes that differ, as `desipipe.view.failures.kinds_text`; empty for one alone. */
export function kindsWords(
  kinds: readonly IFailureKind[],
  trans: TranslationBundle
): string {
  if (kinds.length < 2) {
    return '';
  }
  const parts = kinds
    .slice(0, NAMED)
    .map(({ kind, count }) => `${short(kind)} × ${number(count)}`);
  const more = kinds.length - NAMED;
  if (more > 0) {
    parts.push(trans._n('%2 more cause', '%2 more causes', more, number(more)));
  }
  return parts.join(', ');
}

function short(kind: string): string {
  return kind.length <= LENGTH ? kind : `${kind.slice(0, LENGTH - 1)}…`;
}
