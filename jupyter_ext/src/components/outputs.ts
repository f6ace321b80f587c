/**
 * Outputs of a cell's tasks, shown by the notebook's own renderers, a task after the other. Many tasks are folded: a row each, by cause where they failed.
 */
import * as nbformat from '@jupyterlab/nbformat';
import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { TranslationBundle } from '@jupyterlab/translation';
import { Panel, Widget } from '@lumino/widgets';

import { number } from '../format';
import { ROWS_MAX, UNFOLDED_MAX } from '../generated/view';
import { SYMBOLS } from '../tokens';
import { Fold } from './fold';
import { IGroup, TaskOutputs } from './taskoutputs';

/** Key of the tasks that have no row of their own; no cause is empty. */
const MORE = '';

/** The outputs of a cell's tasks. Only what changed is rendered again: tasks end in any order, and each may have a figure. */
export class Outputs extends Panel {
  constructor(
    readonly rendermime: IRenderMimeRegistry,
    readonly trans: TranslationBundle
  ) {
    super();
    this.addClass('jp-desipipe-outputs');
  }

  /**
   * Show these outputs.
   *
   * @param outputs - of all tasks, with a label before those of each
   * @param trusted - whether the notebook that they are in is trusted
   * @param superseded - whether other code ran in the place of theirs: a row each is enough
   */
  render(
    outputs: nbformat.IOutput[],
    trusted: boolean,
    superseded = false
  ): void {
    const groups = grouped(outputs);
    this._removeBut(new Set(groups.map(group => group.key)));
    const folded = superseded || groups.length > UNFOLDED_MAX;
    const folds = folded ? byCause(groups) : new Map<string, IGroup[]>();
    const isIn = new Set([...folds.values()].flat());
    const others = groups.filter(group => !isIn.has(group));
    const order: Widget[] = [];
    const addFold = (key: string, inside: IGroup[]) => {
      const fold = this._fold(key, inside.length);
      order.push(fold);
      inside.forEach(group => {
        const widget = this._task(group, true, trusted);
        widget.setHidden(!fold.open);
        order.push(widget);
      });
    };
    folds.forEach((failed, cause) => addFold(cause, failed));
    const rows = folded ? others.slice(0, ROWS_MAX) : others;
    for (const group of rows) {
      const widget = this._task(group, folded, trusted);
      widget.setHidden(false);
      order.push(widget);
    }
    if (rows.length < others.length) {
      folds.set(MORE, others.slice(rows.length));
      addFold(MORE, others.slice(rows.length));
    }
    this._arrange(order, folds);
  }

  private _task(group: IGroup, folded: boolean, trusted: boolean): TaskOutputs {
    let widget = this._shown.get(group.key);
    if (!widget) {
      widget = new TaskOutputs(this.rendermime, this.trans);
      this._shown.set(group.key, widget);
    }
    widget.change(group, folded, trusted);
    return widget;
  }

  /** The row above failures of a cause, or above the tasks that have no row of their own. */
  private _fold(cause: string, n: number): Fold {
    let fold = this._causes.get(cause);
    if (!fold) {
      fold = new Fold();
      fold.addClass('jp-desipipe-cause');
      fold.toggled.connect(() => this._foldCauses());
      this._causes.set(cause, fold);
    }
    const more = this.trans._n('%2 more task', '%2 more tasks', n, number(n));
    fold.setParts(
      cause === MORE
        ? [{ text: `… ${more}` }]
        : [
            { text: SYMBOLS.FAILED, state: 'FAILED' },
            { text: `${cause} × ${number(n)}`, strong: true }
          ]
    );
    return fold;
  }

  private _foldCauses(): void {
    let fold: Fold | null = null;
    for (const widget of this.widgets) {
      if (widget instanceof Fold) {
        fold = widget;
      } else if (fold && this._last.get(fold)?.has(widget)) {
        widget.setHidden(!fold.open);
      }
    }
  }

  private _arrange(order: Widget[], causes: Map<string, IGroup[]>): void {
    this._last.clear();
    for (const [cause, fold] of [...this._causes]) {
      const failed = causes.get(cause);
      if (failed) {
        const widgets = failed.map(group => this._shown.get(group.key)!);
        this._last.set(fold, new Set<Widget>(widgets));
      } else {
        this._causes.delete(cause);
        fold.dispose();
      }
    }
    order.forEach((widget, place) => {
      if (this.widgets[place] !== widget) {
        this.insertWidget(place, widget);
      }
    });
  }

  private _removeBut(keys: Set<string>): void {
    for (const [key, widget] of [...this._shown]) {
      if (!keys.has(key)) {
        this._shown.delete(key);
        widget.dispose();
      }
    }
  }

  private _causes = new Map<string, Fold>();
  private _last = new Map<Fold, Set<Widget>>();
  private _shown = new Map<string, TaskOutputs>();
}

/** Failures by the cause that they share with others. */
function byCause(groups: readonly IGroup[]): Map<string, IGroup[]> {
  const causes = new Map<string, IGroup[]>();
  for (const group of groups.filter(group => group.cause)) {
    causes.set(group.cause, [...(causes.get(group.cause) ?? []), group]);
  }
  return causes;
}

/** What the label of a task says of it. */
interface ILabel {
  tid: string;
  label: string;
  arguments: string;
  state?: string;
  duration?: number | null;
  cause?: string;
}

function grouped(outputs: nbformat.IOutput[]): IGroup[] {
  const groups: IGroup[] = [];
  for (const output of outputs) {
    const metadata = output.metadata as nbformat.OutputMetadata | undefined;
    const label = metadata?.desipipe as unknown as ILabel | undefined;
    if (label?.tid) {
      groups.push({
        key: label.tid,
        name: label.label,
        words: label.arguments,
        state: label.state ?? '',
        duration: label.duration ?? null,
        cause: label.cause ?? '',
        outputs: []
      });
    } else {
      if (!groups.length) {
        const none = { key: '', name: '', words: '', state: '', cause: '' };
        groups.push({ ...none, duration: null, outputs: [] });
      }
      append(groups[groups.length - 1].outputs, output);
    }
  }
  return groups;
}

/** Add an output to others. Text that goes on in the same stream is one output, as it is for the model that shows them. */
function append(outputs: nbformat.IOutput[], output: nbformat.IOutput): void {
  const last = outputs[outputs.length - 1];
  if (
    last &&
    nbformat.isStream(last) &&
    nbformat.isStream(output) &&
    last.name === output.name
  ) {
    outputs[outputs.length - 1] = {
      ...last,
      text: joined(last.text) + joined(output.text)
    };
  } else {
    outputs.push(output);
  }
}

function joined(text: nbformat.MultilineString): string {
  return typeof text === 'string' ? text : text.join('');
}
