/**
 * The page as a host of the panel: what JupyterLab's shell is there.
 */
import { CommandRegistry } from '@lumino/commands';
import { ContextMenu, DockPanel, SplitPanel, Widget } from '@lumino/widgets';

import type { IHost } from '../panel/host';
import { COMMANDS } from '../panel/tokens';

/** Below this width (px) pages stand under the panel instead of beside it. */
const NARROW = 800;

/** Tasks of the panel's lists. */
const TASK = '.jp-desipipe-Panel [data-tid]';

/** The panel on the left; on the right, as soon as there are some, the pages in tabs. */
class Shell extends SplitPanel {
  constructor() {
    super({ spacing: 4 });
    this.id = 'desipipe-page';
    this._pages.id = 'desipipe-pages';
    this._pages.layoutModified.connect(() => this._fit());
  }

  /** Put a widget on the left, or into a tab. */
  readonly add = (widget: Widget, area?: string): void => {
    if (area === 'left') {
      this.insertWidget(0, widget);
    } else {
      this._pages.addWidget(widget);
      this._fit();
    }
  };

  /** Show a widget. */
  readonly activateById = (id: string): void => {
    for (const page of this._pages.widgets()) {
      if (page.id === id) {
        this._pages.selectWidget(page);
        page.activate();
        return;
      }
    }
    this.widgets.find(widget => widget.id === id)?.activate();
  };

  /** Show it in the page, and follow the size of the window. */
  attach(): void {
    Widget.attach(this, document.body);
    window.addEventListener('resize', () => {
      this._orient();
      this.update();
    });
    this._orient();
  }

  private _orient(): void {
    this.orientation = window.innerWidth < NARROW ? 'vertical' : 'horizontal';
  }

  /** Give pages room as long as there are some. */
  private _fit(): void {
    if (this._pages.isEmpty) {
      this._pages.parent = null;
    } else if (!this._pages.parent) {
      this.addWidget(this._pages);
      this.setRelativeSizes([2, 3]);
    }
  }

  private readonly _pages = new DockPanel({ mode: 'multiple-document' });
}

/** What the panel stands in, where there is no JupyterLab. */
export class PageHost implements IHost {
  readonly commands = new CommandRegistry();
  readonly shell = new Shell();
  readonly restored = Promise.resolve();
  readonly contextMenu = new ContextMenu({ commands: this.commands });

  /** Show it in the page. */
  attach(): void {
    this.shell.attach();
    this._addContextMenu();
  }

  readonly contextMenuHitTest = (
    test: (node: HTMLElement) => boolean
  ): HTMLElement | undefined => this._hit.find(test);

  private _addContextMenu(): void {
    [
      COMMANDS.openTask,
      COMMANDS.openTaskTab,
      COMMANDS.retryTask,
      COMMANDS.cancelTask
    ].forEach((command, rank) =>
      this.contextMenu.addItem({ command, selector: TASK, rank })
    );
    this.shell.node.addEventListener('contextmenu', event => {
      this._hit = event
        .composedPath()
        .filter((node): node is HTMLElement => node instanceof HTMLElement);
      if (this.contextMenu.open(event)) {
        event.preventDefault();
      }
    });
  }

  private _hit: HTMLElement[] = [];
}
