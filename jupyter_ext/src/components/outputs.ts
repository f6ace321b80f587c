/**
 * What the tasks printed and drew, shown by the notebook's own renderers, a task after the other.
 */
import * as nbformat from '@jupyterlab/nbformat';
import { OutputAreaModel, SimplifiedOutputArea } from '@jupyterlab/outputarea';
import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { JSONExt } from '@lumino/coreutils';
import { Panel, Widget } from '@lumino/widgets';

/** Outputs of one task, and how they are labelled; no label where there is one task only. */
interface IGroup {
  key: string;
  name: string;
  words: string;
  outputs: nbformat.IOutput[];
}

/** The outputs of a cell's tasks. Only what changed is rendered again: tasks end in any order, and each may have a figure. */
export class Outputs extends Panel {
  constructor(readonly rendermime: IRenderMimeRegistry) {
    super();
    this.addClass('jp-desipipe-outputs');
  }

  /**
   * Show these outputs.
   *
   * @param outputs - of all tasks, with a label before those of each
   * @param trusted - whether the notebook that they are in is trusted
   */
  render(outputs: nbformat.IOutput[], trusted: boolean): void {
    const groups = grouped(outputs);
    const keys = new Set(groups.map(group => group.key));
    for (const [key, widget] of [...this._shown]) {
      if (!keys.has(key)) {
        this._shown.delete(key);
        widget.dispose();
      }
    }
    groups.forEach((group, place) => {
      let widget = this._shown.get(group.key);
      if (!widget) {
        // eslint-disable-next-line jupyter/require-disposable-ownership -- it is this panel's child
        widget = new TaskOutputs(this.rendermime, group);
        this._shown.set(group.key, widget);
      }
      widget.change(group.outputs, trusted);
      if (this.widgets[place] !== widget) {
        this.insertWidget(place, widget);
      }
    });
  }

  private _shown = new Map<string, TaskOutputs>();
}

/** The outputs of one task. */
class TaskOutputs extends Panel {
  constructor(rendermime: IRenderMimeRegistry, { name, words }: IGroup) {
    super();
    if (name) {
      const label = document.createElement('div');
      label.className = 'jp-desipipe-label';
      label.append(
        Object.assign(document.createElement('b'), { textContent: name }),
        ' ',
        words
      );
      this.addWidget(new Widget({ node: label }));
    }
    this.addWidget(
      new SimplifiedOutputArea({ model: this._model, rendermime })
    );
  }

  override dispose(): void {
    if (!this.isDisposed) {
      super.dispose();
      this._model.dispose();
    }
  }

  change(outputs: nbformat.IOutput[], trusted: boolean): void {
    const [model, shown] = [this._model, this._outputs];
    this._outputs = outputs;
    if (trusted !== model.trusted) {
      model.trusted = trusted;
    }
    let same = 0;
    while (
      same < Math.min(shown.length, outputs.length) &&
      JSONExt.deepEqual(shown[same], outputs[same])
    ) {
      same += 1;
    }
    if (same === shown.length && same === outputs.length) {
      return;
    }
    if (outputs.length < shown.length) {
      model.fromJSON(outputs);
      return;
    }
    for (let i = same; i < shown.length; i++) {
      model.set(i, outputs[i]);
    }
    outputs.slice(shown.length).forEach(output => model.add(output));
  }

  private _model = new OutputAreaModel();
  private _outputs: nbformat.IOutput[] = [];
}

function grouped(outputs: nbformat.IOutput[]): IGroup[] {
  const groups: IGroup[] = [];
  for (const output of outputs) {
    const label = (output.metadata as nbformat.OutputMetadata | undefined)
      ?.desipipe as
      { tid: string; label: string; arguments: string } | undefined;
    if (label?.tid) {
      groups.push({
        key: label.tid,
        name: label.label,
        words: label.arguments,
        outputs: []
      });
    } else {
      if (!groups.length) {
        groups.push({ key: '', name: '', words: '', outputs: [] });
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
