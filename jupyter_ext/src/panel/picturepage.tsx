/**
 * Graph and timeline of a queue, in the main area. What draws them is loaded when one is opened.
 */
import { IThemeManager, ReactWidget } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { IDisposable } from '@lumino/disposable';
import type { Message } from '@lumino/messaging';
import React from 'react';

import { Follower } from '../model';
import { Banner } from './components/bits';
import { pipeIcon } from './icon';
import { Looker } from './looker';
import { words } from './panel';
import type { IGraph, ITaskLabel, ITimeline } from './tokens';

type Drawing = typeof import('./pictures');

/** Which picture. */
export type Kind = 'graph' | 'timeline';

/** ms between two looks at a queue that changes: a picture need not move more often. */
const PACE = 1000;

/** A picture that is kept up to date while it is looked at. */
export class PicturePage extends ReactWidget {
  constructor(
    readonly kind: Kind,
    readonly follower: Follower,
    readonly folder: string,
    readonly queue: string,
    readonly onTask: (folder: string, task: ITaskLabel) => void,
    themes: IThemeManager | null,
    readonly trans: TranslationBundle
  ) {
    super();
    this.addClass('jp-desipipe-Page');
    this.addClass('jp-desipipe-PicturePage');
    const name =
      kind === 'graph'
        ? trans.__('Graph of %1', queue)
        : trans.__('Timeline of %1', queue);
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', name);
    this.title.label = name;
    this.title.icon = pipeIcon;
    this.title.closable = true;
    this._looker = new Looker(() => this._ask(), PACE);
    follower.changed.connect(() => this.update(), this);
    themes?.themeChanged.connect(() => this.update(), this);
    document.addEventListener('visibilitychange', this._look);
    void import('./pictures').then(drawing => {
      this._drawing = drawing;
      this.update();
    });
  }

  override dispose(): void {
    document.removeEventListener('visibilitychange', this._look);
    this._following?.dispose();
    this._looker.dispose();
    super.dispose();
  }

  protected override onAfterAttach(msg: Message): void {
    super.onAfterAttach(msg);
    this._look();
  }

  protected override onAfterShow(msg: Message): void {
    super.onAfterShow(msg);
    this._look();
  }

  protected override onAfterHide(msg: Message): void {
    super.onAfterHide(msg);
    this._look();
  }

  private _look = (): void => {
    const visible =
      !this.isDisposed && this.isAttached && this.isVisible && !document.hidden;
    if (visible && !this._following) {
      this._following = this.follower.follow(this.folder, () =>
        this._looker.ask()
      );
      this._looker.ask();
    } else if (!visible) {
      this._following?.dispose();
      this._following = null;
    }
  };

  private async _ask(): Promise<boolean> {
    if (!this._following) {
      return false;
    }
    const { api } = this.follower;
    try {
      if (this.kind === 'graph') {
        this._graph = await api.look('graph', {
          queue: this.folder,
          name: this._unfolded
        });
      } else {
        const [begin, end] = this._part ?? [];
        const timeline = await api.look<ITimeline>('timeline', {
          queue: this.folder,
          ...(begin !== undefined && { begin: `${begin}`, end: `${end}` })
        });
        this._timeline = timeline;
        this._now = Date.now() / 1000;
        if (!this._part && timeline.began !== null) {
          this._whole = [timeline.began, timeline.ended ?? this._now];
        }
      }
      this._problem = null;
    } catch (error) {
      this._problem = error instanceof Error ? error : new Error(`${error}`);
    }
    this.update();
    return this._problem !== null;
  }

  protected render(): JSX.Element {
    const {
      trans,
      _drawing: drawing,
      _graph: graph,
      _timeline: timeline
    } = this;
    const problem = this.follower.isLost
      ? trans.__(
          'The server gives no answer: what is shown is of before. It is asked again and again.'
        )
      : words(this._problem, trans);
    const data = this.kind === 'graph' ? graph : timeline;
    const empty = graph ? !graph.nodes.length : timeline ? !this._whole : false;
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
    const common = {
      queue: this.queue,
      colours: drawing.palette(this.node),
      onTask: this._onTask,
      onSave: this._onSave,
      trans: this.trans
    };
    return this._graph ? (
      <drawing.GraphView
        {...common}
        graph={this._graph}
        unfolded={this._unfolded}
        onUnfold={names => {
          this._unfolded = names;
          this.update();
          this._looker.ask();
        }}
      />
    ) : (
      <drawing.TimelineView
        {...common}
        timeline={this._timeline!}
        whole={this._whole!}
        now={this._now}
        onPart={part => {
          if (`${part}` !== `${this._part}`) {
            this._part = part;
            this._looker.ask();
          }
        }}
      />
    );
  }

  private _onTask = (task: ITaskLabel): void => this.onTask(this.folder, task);

  private _onSave = (
    svg: SVGSVGElement,
    box: DOMRectInit,
    kind: 'svg' | 'png'
  ): void => {
    const drawing = this._drawing!;
    const { x = 0, y = 0, width = 0, height = 0 } = box;
    const text = drawing.svgText(svg, { x, y, width, height });
    const name = `${this.queue}-${this.kind}`;
    if (kind === 'svg') {
      drawing.saveSvg(text, name);
    } else {
      void drawing.savePng(text, name);
    }
  };

  private _drawing: Drawing | null = null;
  private _following: IDisposable | null = null;
  private _graph: IGraph | null = null;
  private _looker: Looker;
  private _now = 0;
  private _part: [number, number] | null = null;
  private _problem: Error | null = null;
  private _timeline: ITimeline | null = null;
  private _unfolded: string[] = [];
  private _whole: [number, number] | null = null;
}
