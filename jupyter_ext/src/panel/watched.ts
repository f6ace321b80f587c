/**
 * Widgets that know whether someone looks at them: what nobody looks at asks the server nothing.
 */
import { ReactWidget } from '@jupyterlab/apputils';
import type { Message } from '@lumino/messaging';

import type { FollowedModel } from './followed';
import { pipeIcon } from './icon';

/** A widget that knows whether it is in the page, shown, and the page in front. */
export abstract class WatchedWidget extends ReactWidget {
  constructor() {
    super();
    document.addEventListener('visibilitychange', this._look);
  }

  override dispose(): void {
    document.removeEventListener('visibilitychange', this._look);
    super.dispose();
  }

  /** Somebody looks, or nobody does; may be told again what it knows. */
  protected abstract onWatched(watched: boolean): void;

  /** Tell it again. */
  protected look(): void {
    this.onWatched(
      !this.isDisposed && this.isAttached && this.isVisible && !document.hidden
    );
  }

  protected override onAfterAttach(msg: Message): void {
    super.onAfterAttach(msg);
    this.look();
  }

  protected override onAfterShow(msg: Message): void {
    super.onAfterShow(msg);
    this.look();
  }

  protected override onAfterHide(msg: Message): void {
    super.onAfterHide(msg);
    this.look();
  }

  protected override onBeforeDetach(msg: Message): void {
    this.onWatched(false);
    super.onBeforeDetach(msg);
  }

  private _look = (): void => this.look();
}

/** A page in the main area; what it is about is kept true while it is visible. */
export abstract class Page<T extends FollowedModel> extends WatchedWidget {
  constructor(model: T, name: string, words: string) {
    super();
    this._model = model;
    this.addClass('jp-desipipe-Page');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', words);
    this.title.label = name;
    this.title.icon = pipeIcon;
    this.title.closable = true;
  }

  /** What the page is about. */
  get model(): T {
    return this._model;
  }

  override dispose(): void {
    this.model.dispose();
    super.dispose();
  }

  /** Be about something else from now on. */
  protected replaceModel(model: T): void {
    const { visible } = this._model;
    this._model.dispose();
    this._model = model;
    model.visible = visible;
    this.update();
  }

  protected onWatched(watched: boolean): void {
    this.model.visible = watched;
  }

  private _model: T;
}
