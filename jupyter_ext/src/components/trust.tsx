/**
 * What stands where outputs of a user who is not trusted are shown as text.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import type { ICellView } from '../tokens';

/**
 * The user whose outputs are shown as text: the owner of the queue, or, in a
 * queue that a group shares, a member who ran a task.
 */
export function untrustedWriter(summary: ICellView): string {
  const { outputs, untrusted } = summary;
  if (untrusted) {
    return outputs.length > 0 ? untrusted : '';
  }
  for (const output of outputs) {
    const metadata = 'metadata' in output ? output.metadata : undefined;
    const user = (metadata as IOutputMetadata | undefined)?.desipipe?.untrusted;
    if (typeof user === 'string' && user) {
      return user;
    }
  }
  return '';
}

interface IOutputMetadata {
  desipipe?: { untrusted?: unknown };
}

/** Properties of {@link TrustNote}. */
export interface ITrustNoteProps {
  user: string;
  onTrust: () => void;
  trans: TranslationBundle;
}

/** Says whose outputs are shown as text, with a button that trusts the user. */
export function TrustNote({
  user,
  onTrust,
  trans
}: ITrustNoteProps): JSX.Element {
  return (
    <div className="jp-desipipe-note">
      {trans.__(
        'Outputs of %1, whom you do not trust, are shown as text.',
        user
      )}{' '}
      <button
        type="button"
        className="jp-desipipe-button"
        data-command="trust"
        onClick={onTrust}
      >
        {trans.__('Trust %1…', user)}
      </button>
    </div>
  );
}
