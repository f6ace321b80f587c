/**
 * What stands where outputs of a user who is not trusted are shown as text.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

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
        {trans.__('Show (trusts %1)', user)}
      </button>
    </div>
  );
}
