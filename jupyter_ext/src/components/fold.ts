/**
 * A row that unfolds what belongs to it.
 */
import { ISignal, Signal } from '@lumino/signaling';
import { Widget } from '@lumino/widgets';

/** A piece of the text of a row. */
export interface IPart {
  text: string;
  /** The state whose colour a symbol has. */
  state?: string;
  strong?: boolean;
  code?: boolean;
}

/** A button as wide as the page. */
export class Fold extends Widget {
  constructor() {
    super({ node: document.createElement('button') });
    this.addClass('jp-desipipe-fold');
    this.node.setAttribute('type', 'button');
    this.node.addEventListener('click', () => {
      this.open = !this.open;
    });
    this.open = false;
  }

  /** It was opened or closed. */
  get toggled(): ISignal<this, void> {
    return this._toggled;
  }

  /** Whether what belongs to it is shown. */
  get open(): boolean {
    return this._open;
  }

  set open(open: boolean) {
    this._open = open;
    this.node.setAttribute('aria-expanded', `${open}`);
    this._toggled.emit();
  }

  override dispose(): void {
    Signal.clearData(this);
    super.dispose();
  }

  /** Set the text of the row. */
  setParts(parts: readonly IPart[]): void {
    const text = JSON.stringify(parts);
    if (text !== this._text) {
      this._text = text;
      this.node.replaceChildren(...parts.flatMap(part => [node(part), ' ']));
    }
  }

  private _open = false;
  private _text = '';
  private _toggled = new Signal<this, void>(this);
}

function node({ text, state, strong, code }: IPart): HTMLElement {
  const kind = strong ? 'b' : code ? 'code' : 'span';
  const element = document.createElement(kind);
  element.textContent = text;
  if (state) {
    element.className = 'jp-desipipe-symbol';
    element.dataset.state = state;
    element.setAttribute('aria-hidden', 'true');
  }
  return element;
}
