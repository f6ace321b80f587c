/**
 * The menu of a queue.
 */
import type { CommandRegistry } from '@lumino/commands';
import { Menu } from '@lumino/widgets';

import { COMMANDS, IListedQueue } from './tokens';

/** Commands of the menu; empty: a line between them. */
const ITEMS = [
  COMMANDS.start,
  COMMANDS.resize,
  COMMANDS.retry,
  COMMANDS.cancel,
  COMMANDS.clearSuperseded,
  '',
  COMMANDS.graph,
  COMMANDS.timeline,
  COMMANDS.use,
  COMMANDS.copyPath,
  '',
  COMMANDS.kill,
  COMMANDS.delete
];

/** A menu for one queue at a time. */
export class QueueMenu {
  constructor(private readonly _commands: CommandRegistry) {
    this._menu = new Menu({ commands: _commands });
    // Before the command runs: a dialog gives the focus back to where it was when it opened.
    this._menu.aboutToClose.connect(() => {
      if (this._opener?.isConnected) {
        this._opener.focus();
      }
      this._opener = null;
    });
  }

  /** Open the menu of a queue below a button. */
  open(line: IListedQueue, button: HTMLElement): void {
    this._menu.clearItems();
    ITEMS.filter(id => !id || this._commands.hasCommand(id)).forEach(command =>
      this._menu.addItem(
        command
          ? { command, args: { folder: line.folder } }
          : { type: 'separator' }
      )
    );
    this._opener = button;
    const { left, bottom } = button.getBoundingClientRect();
    this._menu.open(left, bottom);
  }

  private readonly _menu: Menu;
  private _opener: HTMLElement | null = null;
}
