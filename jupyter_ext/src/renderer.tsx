/**
 * The renderer of a cell's display: its outputs, as if the cell had run here, and the line that says how its tasks are doing.
 */
import { Dialog, ReactWidget, showDialog } from '@jupyterlab/apputils';
import type * as nbformat from '@jupyterlab/nbformat';
import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import type { ITranslator, TranslationBundle } from '@jupyterlab/translation';
import type { Message } from '@lumino/messaging';
import { Panel } from '@lumino/widgets';
import React from 'react';

import { confirmTrust } from './components/confirm';
import { Outputs } from './components/outputs';
import { Status } from './components/status';
import { untrustedWriter } from './components/trust';
import { number } from './format';
import { CellModel, Follower } from './model';
import { RequestError } from './request';
import {
  Action,
  count,
  ICellView,
  isOver,
  MIME_TYPE,
  readCell,
  TARGETS,
  VERSION
} from './tokens';

/**
 * What makes renderers, for a registry of renderers.
 *
 * @param rendermime - the registry whose other renderers show the outputs
 * @param follower - the page's event stream
 * @param translator - the reader's language
 */
export function rendererFactory(
  rendermime: IRenderMimeRegistry,
  follower: Follower,
  translator: ITranslator
): IRenderMime.IRendererFactory {
  const trans = translator.load('desipipe');
  return {
    safe: true, // nothing of the JSON is put into the page but as text, or by a renderer that knows whether the output is trusted
    mimeTypes: [MIME_TYPE],
    createRenderer: options =>
      new CellDisplay(
        // With the links and the sanitizer of the document that it is in.
        rendermime.clone({
          ...(options.resolver && { resolver: options.resolver }),
          ...(options.linkHandler && { linkHandler: options.linkHandler }),
          ...(options.sanitizer && { sanitizer: options.sanitizer })
        }),
        new CellModel(follower),
        trans
      )
  };
}

/** The display under a cell. */
export class CellDisplay extends Panel implements IRenderMime.IRenderer {
  constructor(
    readonly rendermime: IRenderMimeRegistry,
    readonly model: CellModel,
    readonly trans: TranslationBundle
  ) {
    super();
    this.addClass('jp-desipipe-Cell');
    this._status = new StatusWidget(model, trans);
    this.addWidget(this._status);
    model.changed.connect(this._onChanged, this);
  }

  async renderModel(mime: IRenderMime.IMimeModel): Promise<void> {
    const summary = readCell(mime.data[MIME_TYPE]);
    if (summary.version !== VERSION) {
      // The display beside it in the bundle is for such cases; the output area shows it when this fails.
      throw new Error(
        this.trans.__(
          'This display was made by another version of desipipe (%1, not %2): update desipipe where JupyterLab runs.',
          summary.version,
          VERSION
        )
      );
    }
    const trusted = mime.trusted;
    if (trusted !== this._trusted) {
      this._trusted = trusted;
      this._onChanged();
    }
    this.model.receive(summary);
  }

  override dispose(): void {
    if (!this.isDisposed) {
      this._unwatch();
      this.model.dispose();
      super.dispose();
    }
  }

  protected override onAfterAttach(msg: Message): void {
    super.onAfterAttach(msg);
    // Whether it is scrolled out of sight, in a hidden tab, or in a collapsed output: the browser knows.
    this._observer = new IntersectionObserver(entries => {
      this._inView = entries[entries.length - 1].isIntersecting;
      this._look();
    });
    this._observer.observe(this.node);
    document.addEventListener('visibilitychange', this._look);
  }

  protected override onBeforeDetach(msg: Message): void {
    this._unwatch();
    super.onBeforeDetach(msg);
  }

  private _unwatch(): void {
    this._observer?.disconnect();
    this._observer = null;
    this._inView = false;
    document.removeEventListener('visibilitychange', this._look);
    this._look();
  }

  private _look = (): void => {
    if (!this.model.isDisposed) {
      this.model.visible = this._inView && !document.hidden;
    }
  };

  private _onChanged(): void {
    const summary = this.model.summary;
    if (!summary) {
      return;
    }
    const isSuperseded = summary.superseded > 0 && !summary.total;
    this.toggleClass('jp-mod-superseded', isSuperseded);
    if (summary.outputs.length || this._outputs) {
      if (!this._outputs) {
        this._outputs = new Outputs(this.rendermime, this.trans);
        this.addWidget(this._outputs);
      }
      this._outputs.render(
        summary.outputs as nbformat.IOutput[],
        this._trusted,
        isSuperseded
      );
    }
    // The line stays on top, also when all is done: it never has to be scrolled to.
    if (this.widgets[0] !== this._status) {
      this.insertWidget(0, this._status);
    }
  }

  private _inView = false;
  private _observer: IntersectionObserver | null = null;
  private _outputs: Outputs | null = null;
  private _status: StatusWidget;
  private _trusted = false;
}

/** The line itself. */
class StatusWidget extends ReactWidget {
  constructor(
    readonly model: CellModel,
    readonly trans: TranslationBundle
  ) {
    super();
    model.changed.connect(() => this.update(), this);
  }

  protected render(): JSX.Element | null {
    const { model, trans } = this;
    const { summary, freshness } = model;
    const { show } = model.follower;
    return summary ? (
      <Status
        summary={summary}
        received={model.received}
        ticking={model.visible && freshness === 'live' && !isOver(summary)}
        stale={freshness === 'stale'}
        acting={model.acting}
        problem={this._words(model.problem)}
        open={this._open}
        onAct={action => void this._act(action, summary)}
        onToggle={() => {
          this._open = !this._open;
          this.update();
        }}
        onTrust={() => void this._trust(summary)}
        onShow={show && summary ? () => show(summary) : undefined}
        trans={trans}
      />
    ) : null;
  }

  private _words(problem: Error | null): string {
    return problem instanceof RequestError && problem.isAbsent
      ? this.trans.__(
          'desipipe is not installed on this Jupyter server. Nothing was done. Install it in the environment that the server runs in.'
        )
      : (problem?.message ?? '');
  }

  private async _trust(summary: ICellView): Promise<void> {
    const user = untrustedWriter(summary);
    if (user && (await confirmTrust(user, this.trans))) {
      await this.model.trust(user);
    }
  }

  private async _act(action: Action, summary: ICellView): Promise<void> {
    const { trans } = this;
    if (action === 'cancel') {
      const n = count(summary, TARGETS.cancel);
      const running = count(summary, ['RUNNING']);
      const lines = [
        trans._n(
          '%2 task of %3 has not ended yet.',
          '%2 tasks of %3 have not ended yet.',
          n,
          number(n),
          summary.title || summary.queue
        ),
        running
          ? trans._n(
              '%2 task is running: what it has computed so far is lost.',
              '%2 tasks are running: what they have computed so far is lost.',
              running,
              number(running)
            )
          : '',
        trans.__('Finished results stay. Retry runs the others again.')
      ];
      const answer = await showDialog({
        title: trans.__('Cancel the remaining tasks?'),
        body: lines.filter(line => line).join(' '),
        buttons: [
          Dialog.cancelButton({ label: trans.__('Don’t cancel') }),
          Dialog.warnButton({ label: trans.__('Cancel tasks') })
        ],
        defaultButton: 0
      });
      if (!answer.button.accept) {
        return;
      }
    }
    await this.model.act(action);
  }

  private _open = false;
}
