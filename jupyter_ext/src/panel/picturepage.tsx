/**
 * Graph and timeline of a queue, in the main area. What draws them is loaded when one is opened.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import { Banner } from './components/bits';
import type { IThemes } from './host';
import { trouble } from './panel';
import { PictureModel } from './picture';
import type { OnSave } from './pictures/save';
import type { ITaskLabel } from './tokens';
import { Page } from './watched';

export { PictureModel };

type Drawing = typeof import('./pictures');

/** A picture that is kept up to date while it is looked at. */
export class PicturePage extends Page<PictureModel> {
  constructor(
    model: PictureModel,
    readonly queue: string,
    readonly onTask: (folder: string, task: ITaskLabel) => void,
    themes: IThemes | null,
    readonly trans: TranslationBundle
  ) {
    const name =
      model.kind === 'graph'
        ? trans.__('Graph of %1', queue)
        : trans.__('Timeline of %1', queue);
    super(model, name, name);
    this.addClass('jp-desipipe-PicturePage');
    model.changed.connect(() => this.update(), this);
    model.follower.changed.connect(() => this.update(), this);
    themes?.themeChanged.connect(() => this.update(), this);
    void import('./pictures').then(drawing => {
      this._drawing = drawing;
      this.update();
    });
  }

  protected render(): JSX.Element {
    const { model, trans, _drawing: drawing } = this;
    const { graph, timeline } = model;
    const problem = trouble(model, trans);
    const data = graph ?? timeline;
    const empty = graph ? !graph.nodes.length : timeline ? !model.whole : false;
    return (
      <>
        {problem && <Banner>{problem}</Banner>}
        {!problem && (!drawing || !data) && (
          <div className="jp-desipipe-empty">{trans.__('Drawing…')}</div>
        )}
        {drawing && empty && (
          <div className="jp-desipipe-empty">
            {graph
              ? trans.__('No tasks yet.')
              : trans.__('Nothing has run yet.')}
          </div>
        )}
        {drawing && data && !empty && this._draw(drawing)}
      </>
    );
  }

  private _draw(drawing: Drawing): JSX.Element {
    const { model } = this;
    const common = {
      queue: this.queue,
      colours: drawing.palette(this.node),
      onTask: this._onTask,
      onSave: this._onSave,
      trans: this.trans
    };
    return model.graph ? (
      <drawing.GraphView
        {...common}
        graph={model.graph}
        unfolded={model.unfolded}
        onUnfold={names => {
          model.unfolded = names;
          this.update();
        }}
      />
    ) : (
      <drawing.TimelineView
        {...common}
        timeline={model.timeline!}
        whole={model.whole!}
        now={model.now}
        onPart={part => {
          model.part = part;
        }}
      />
    );
  }

  private _onTask = (task: ITaskLabel): void =>
    this.onTask(this.model.folder, task);

  private _onSave: OnSave = (svg, box, kind) => {
    const drawing = this._drawing!;
    const text = drawing.svgText(svg, box);
    const name = `${this.queue}-${this.model.kind}`;
    if (kind === 'svg') {
      drawing.saveSvg(text, name);
    } else {
      void drawing.savePng(text, name);
    }
  };

  private _drawing: Drawing | null = null;
}
