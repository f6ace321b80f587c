/**
 * Settings of the panel, and the state that it restores.
 */
import type { ISettingRegistry } from '@jupyterlab/settingregistry';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';

import type { IStates } from './host';
import type { DesipipePanel } from './panel';
import type { QueuesModel } from './queues';
import { IPanelState, ISettings, PLUGIN_ID } from './tokens';

/** Settings as they are by default. */
export const DEFAULTS: ISettings = {
  folders: [],
  refresh: 10,
  background: true,
  notifyFailure: true,
  notifyCompletion: true
};

/** Settings that are read from JupyterLab's registry, and read again when they change. */
export class PanelSettings {
  constructor(
    private readonly _registry: ISettingRegistry | null,
    private readonly _queues: QueuesModel
  ) {}

  /** The settings now. */
  get current(): ISettings {
    return this._current;
  }

  /** Read the settings, and apply them; the defaults if they can't be read. */
  async load(): Promise<void> {
    try {
      const loaded = await this._registry?.load(PLUGIN_ID);
      const read = () =>
        this._apply(loaded?.composite as unknown as ISettings | undefined);
      loaded?.changed.connect(read);
      read();
    } catch (error) {
      console.warn('desipipe: its settings can not be read.', error);
      this._apply();
    }
  }

  private _apply(read?: ISettings): void {
    this._current = { ...this._current, ...read };
    this._queues.configure(this._current);
  }

  private _current = DEFAULTS;
}

/** Restore the panel's state, unless it has one already, and save it when it changes. */
export async function restoreState(
  panel: DesipipePanel,
  states: IStates | null
): Promise<void> {
  try {
    const saved = await states?.fetch(PLUGIN_ID);
    if (saved && !panel.state.open) {
      panel.state = { ...panel.state, ...(saved as unknown as IPanelState) };
    }
  } catch (error) {
    console.warn('desipipe: the state of its panel can not be read.', error);
  }
  panel.stateChanged.connect(
    (_, state) =>
      void states?.save(PLUGIN_ID, {
        ...state
      } as unknown as ReadonlyPartialJSONObject)
  );
}
