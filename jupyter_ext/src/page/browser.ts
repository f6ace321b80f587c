/**
 * What the browser provides where JupyterLab would: colours, and a memory for one tab.
 */
import type { IStateDB } from '@jupyterlab/statedb';
import type { ReadonlyPartialJSONValue } from '@lumino/coreutils';
import { Signal } from '@lumino/signaling';

import type { IStates, IThemes } from '../panel/host';

/** Light or dark, as the browser wants it. */
export class BrowserThemes implements IThemes {
  constructor() {
    const dark = window.matchMedia('(prefers-color-scheme: dark)');
    const tell = () => {
      document.body.dataset.jpThemeLight = `${!dark.matches}`;
      this.themeChanged.emit();
    };
    dark.addEventListener('change', tell);
    tell();
  }

  readonly themeChanged = new Signal<this, void>(this);
}

/** What a tab remembers when its page is loaded again. */
export class TabStates implements IStates {
  async fetch(id: string): Promise<ReadonlyPartialJSONValue | undefined> {
    return JSON.parse(sessionStorage.getItem(id) ?? 'null') ?? undefined;
  }

  async save(
    ...[id, value]: Parameters<IStateDB<ReadonlyPartialJSONValue>['save']>
  ): Promise<void> {
    sessionStorage.setItem(id, JSON.stringify(value));
  }
}
