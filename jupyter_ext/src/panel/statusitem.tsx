/**
 * The item in the status bar: what runs and what failed, over all queues.
 */
import { ReactWidget } from '@jupyterlab/apputils';
import { TextItem } from '@jupyterlab/statusbar';
import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import { number } from '../format';
import { SYMBOLS } from '../tokens';
import { bad } from './components/bits';
import type { QueuesModel } from './queues';

/** One line of text; nothing where there are no queues. */
export class StatusItem extends ReactWidget {
  constructor(
    readonly queues: QueuesModel,
    readonly onClick: () => void,
    readonly trans: TranslationBundle
  ) {
    super();
    this.addClass('jp-desipipe-StatusItem');
    queues.changed.connect(() => this.update(), this);
  }

  protected render(): JSX.Element | null {
    const { queues, trans } = this;
    const lines = queues.lines?.filter(line => !line.error) ?? [];
    if (!lines.length) {
      return null;
    }
    const running = lines.reduce(
      (sum, line) => sum + (line.counts.RUNNING ?? 0),
      0
    );
    const failed = lines.reduce((sum, line) => sum + bad(line), 0);
    const text = queues.isLost
      ? trans.__('desipipe: no connection')
      : `${SYMBOLS.RUNNING} ${number(running)}  ${SYMBOLS.FAILED} ${number(failed)}`;
    const title = trans.__(
      'desipipe: %1 running, %2 failed, in %3. Click to show the panel.',
      number(running),
      number(failed),
      trans._n('%2 queue', '%2 queues', lines.length, number(lines.length))
    );
    return (
      <button
        type="button"
        className="jp-desipipe-status"
        aria-label={title}
        title={title}
        onClick={this.onClick}
      >
        <TextItem source={text} />
      </button>
    );
  }
}
