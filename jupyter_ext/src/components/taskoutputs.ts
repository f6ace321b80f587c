/**
 * Outputs of one task of a cell.
 */
import * as nbformat from '@jupyterlab/nbformat';
import { OutputAreaModel, SimplifiedOutputArea } from '@jupyterlab/outputarea';
import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { TranslationBundle } from '@jupyterlab/translation';
import { JSONExt } from '@lumino/coreutils';
import { Panel } from '@lumino/widgets';

import { duration } from '../format';
import { Shown, SYMBOLS } from '../tokens';
import { Fold, IPart } from './fold';

/** Characters of the last line that a row shows. */
const LINE = 200;

/** Outputs of one task, and how they are labelled; no label where there is one task only. */
export interface IGroup {
  key: string;
  name: string;
  words: string;
  /** Empty where an older kernel made the display. */
  state: string;
  /** s; `null` while it runs. */
  duration: number | null;
  /** The class of its error where several failed by it, as the kernel and the server tell; else empty. */
  cause: string;
  outputs: nbformat.IOutput[];
}

/** The outputs of one task, below a label; folded, the label is a row that unfolds them. */
export class TaskOutputs extends Panel {
  constructor(
    readonly rendermime: IRenderMimeRegistry,
    readonly trans: TranslationBundle
  ) {
    super();
    this._head.addClass('jp-desipipe-label');
    this._head.toggled.connect(() => this._update());
    this.addWidget(this._head);
  }

  override dispose(): void {
    if (!this.isDisposed) {
      super.dispose();
      this._model.dispose();
    }
  }

  /** Show the outputs as they are now. */
  change(group: IGroup, folded: boolean, trusted: boolean): void {
    this._folded = folded && !!group.name;
    this._head.setHidden(!group.name);
    this._head.node.toggleAttribute('disabled', !this._folded);
    this._head.setParts(this._folded ? this._row(group) : title(group));
    this._outputs = group.outputs;
    if (trusted !== this._model.trusted) {
      this._model.trusted = trusted;
    }
    this._update();
  }

  private _update(): void {
    const isShown = !this._folded || this._head.open;
    if (isShown) {
      this._fill();
      if (!this._area) {
        // Made when it is first seen: there may be hundreds.
        const { _model: model, rendermime } = this;
        this._area = new SimplifiedOutputArea({ model, rendermime });
        this.addWidget(this._area);
      }
    }
    this._area?.setHidden(!isShown);
  }

  /** Give the model what changed. */
  private _fill(): void {
    const [model, filled, outputs] = [this._model, this._filled, this._outputs];
    this._filled = outputs;
    let same = 0;
    while (
      same < Math.min(filled.length, outputs.length) &&
      JSONExt.deepEqual(filled[same], outputs[same])
    ) {
      same += 1;
    }
    if (same === filled.length && same === outputs.length) {
      return;
    }
    if (outputs.length < filled.length) {
      model.fromJSON(outputs);
      return;
    }
    for (let i = same; i < filled.length; i++) {
      model.set(i, outputs[i]);
    }
    outputs.slice(filled.length).forEach(output => model.add(output));
  }

  /** `✓ scan[3] i=3 0.5 s last line`. */
  private _row(group: IGroup): IPart[] {
    const { state } = group;
    const symbol = SYMBOLS[state as Shown];
    return [
      ...(symbol ? [{ text: symbol, state }] : []),
      ...title(group),
      ...(group.duration === null
        ? []
        : [{ text: duration(group.duration, this.trans) }]),
      { text: lastLine(group.outputs) }
    ];
  }

  private _area: SimplifiedOutputArea | null = null;
  private _filled: nbformat.IOutput[] = [];
  private _folded = false;
  private _head = new Fold();
  private _model = new OutputAreaModel();
  private _outputs: nbformat.IOutput[] = [];
}

function title({ name, words }: IGroup): IPart[] {
  return [
    { text: name, strong: true },
    { text: words, code: true }
  ];
}

function isRich(output: nbformat.IOutput): boolean {
  const data = output.data as nbformat.IMimeBundle | undefined;
  return Object.keys(data ?? {}).some(kind => kind !== 'text/plain');
}

/** The last line that a task printed, its error, or what it displayed. */
export function lastLine(outputs: readonly nbformat.IOutput[]): string {
  // Of what has a richer form than text, the text says little: `<Figure size 400x250>`.
  const told = [...outputs].reverse().find(output => !isRich(output));
  const last = told ?? outputs[outputs.length - 1];
  if (!last) {
    return '';
  }
  let text = '';
  if (nbformat.isError(last)) {
    text = [last.ename, last.evalue].filter(part => part).join(': ');
  } else if (nbformat.isStream(last)) {
    const all = Array.isArray(last.text) ? last.text.join('') : last.text;
    text =
      all
        .trimEnd()
        .split(/[\r\n]/)
        .pop() ?? '';
  } else {
    const data = last.data as nbformat.IMimeBundle | undefined;
    const plain = data?.['text/plain'] ?? '';
    text = `${Array.isArray(plain) ? plain.join('') : plain}`.split('\n')[0];
  }
  // eslint-disable-next-line no-control-regex -- colours of terminals are left out
  return text.replace(/\x1b\[[0-?]*[ -/]*[@-~]/g, '').slice(0, LINE);
}
