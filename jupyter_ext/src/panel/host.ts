/**
 * What the panel stands in: JupyterLab, Notebook 7, or the page of `desipipe serve`. What only JupyterLab has may be missing, and what needs it is
 * not offered then.
 */
import type { IStateDB } from '@jupyterlab/statedb';
import type { CommandRegistry } from '@lumino/commands';
import type { ISignal } from '@lumino/signaling';
import type { Menu, Widget } from '@lumino/widgets';

/** The part of an application that the panel uses. */
export interface IHost {
  readonly commands: CommandRegistry;
  readonly shell: {
    add: (
      widget: Widget,
      area?: string,
      options?: { rank?: number; type?: string }
    ) => void;
    activateById: (id: string) => void;
  };
  /** Kept when the host can tell what was open before. */
  readonly restored: Promise<void>;
  /** The menu of the right button. */
  readonly contextMenu: { readonly menu: Menu };
  /** Return the innermost element that passes a test, of those that the context menu was opened on. */
  contextMenuHitTest: (
    test: (node: HTMLElement) => boolean
  ) => HTMLElement | undefined;
}

/** Tells when colours change. */
export interface IThemes {
  readonly themeChanged: ISignal<unknown, unknown>;
}

/** What is remembered of the panel. */
export type IStates = Pick<IStateDB, 'fetch' | 'save'>;

/** Insert a cell that uses a queue into the notebook in front; returns whether there is one. */
export type InsertUse = (queue: string) => boolean;
