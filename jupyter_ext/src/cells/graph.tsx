/**
 * The graph of a notebook's task cells: one below the other as in the notebook, with lines from where outputs come to where they are read.
 */
import { ReactWidget } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import { duration, number } from '../format';
import { badgeWords } from './badges';
import type { CellStates } from './model';
import { BADGE_SYMBOLS, ICellNode } from './tokens';

const ROW = 46; // px, of one cell
const LANE = 12; // px, between two lines

/** Properties of {@link CellGraph}. */
export interface ICellGraphProps {
  nodes: readonly ICellNode[];
  onShow: (cell: number) => void;
  trans: TranslationBundle;
}

/** A line of the graph, by the places of its ends. */
interface ILine {
  from: number;
  to: number;
  lane: number;
  names: string;
}

/** Lay out the lines: none crosses a lane in which another is under way. */
export function linesOf(nodes: readonly ICellNode[]): ILine[] {
  const place = new Map(nodes.map(({ state }, i) => [state.cell, i]));
  const ends = new Map<string, { from: number; to: number; names: string[] }>();
  nodes.forEach(({ state }, to) => {
    for (const [name, cell] of Object.entries(state.needs)) {
      const from = place.get(cell);
      if (from !== undefined) {
        const key = `${from} ${to}`;
        const known = ends.get(key) ?? { from, to, names: [] };
        known.names.push(name);
        ends.set(key, known);
      }
    }
  });
  const lanes: number[] = []; // where the last line of each lane ends
  return [...ends.values()]
    .sort((a, b) => a.from - b.from || a.to - b.to)
    .map(({ from, to, names }) => {
      const free = lanes.findIndex(end => end <= from);
      const lane = free < 0 ? lanes.length : free;
      lanes[lane] = to;
      return { from, to, lane, names: names.join(', ') };
    });
}

/** The graph. */
export function CellGraph(props: ICellGraphProps): JSX.Element {
  const { nodes, onShow, trans } = props;
  const lines = linesOf(nodes);
  const width = LANE * (2 + Math.max(-1, ...lines.map(({ lane }) => lane)));
  if (!nodes.length) {
    return (
      <p className="jp-desipipe-none">
        {trans.__('The notebook has no task cells.')}
      </p>
    );
  }
  return (
    <div className="jp-desipipe-cellgraph" style={{ paddingLeft: width }}>
      <svg
        aria-hidden="true"
        width={width}
        height={ROW * nodes.length}
        fill="none"
        stroke="currentColor"
      >
        {lines.map(line => (
          <path key={`${line.from} ${line.to}`} d={way(line, width)}>
            <title>{line.names}</title>
          </path>
        ))}
      </svg>
      <ol aria-label={trans.__('Task cells')}>
        {nodes.map(node => (
          <li key={node.state.cell} style={{ height: ROW }}>
            <Node {...props} node={node} onShow={onShow} />
          </li>
        ))}
      </ol>
    </div>
  );
}

/** From the lower half of a node to the upper half of another, with an arrow's head. */
function way({ from, to, lane }: ILine, width: number): string {
  const x = width - LANE * (lane + 1);
  const begin = ROW * from + ROW * 0.6;
  const end = ROW * to + ROW * 0.3;
  const tip = `M${width - 4},${end - 3}L${width},${end}L${width - 4},${end + 3}`;
  return `M${width},${begin}H${x}V${end}H${width}${tip}`;
}

function Node(props: ICellGraphProps & { node: ICellNode }): JSX.Element {
  const { node, onShow, trans } = props;
  const { state, done, total, elapsed } = node;
  const facts = [badgeWords(state.state, trans)];
  if (done !== null) {
    facts.push(
      trans._n('%2/%3 task', '%2/%3 tasks', total, number(done), number(total))
    );
  }
  if (elapsed !== null) {
    facts.push(duration(elapsed, trans));
  }
  const reads = Object.entries(state.needs).map(([name, cell]) =>
    trans.__('%1 of cell %2', name, cell)
  );
  const needs = reads.length ? trans.__('Reads %1', reads.join(', ')) : '';
  return (
    <button
      type="button"
      className="jp-desipipe-cellnode"
      data-badge={state.state}
      title={[state.reason, needs].filter(text => text).join('\n')}
      onClick={() => onShow(state.cell)}
    >
      <span>
        <b>{state.title || trans.__('cell %1', state.cell)}</b>{' '}
        <small>{trans.__('cell %1', state.cell)}</small>
      </span>
      <span>
        <span aria-hidden="true">{BADGE_SYMBOLS[state.state]}</span>{' '}
        {facts.join(' · ')}
      </span>
      {needs && <span className="jp-desipipe-announcement">{needs}</span>}
    </button>
  );
}

/** The graph of the notebook that is shown, in a sidebar. */
export class CellGraphPanel extends ReactWidget {
  constructor(
    readonly reveal: (cell: number) => void,
    readonly trans: TranslationBundle
  ) {
    super();
    this.addClass('jp-desipipe-CellGraph');
  }

  /** The notebook whose cells are shown. */
  get states(): CellStates | null {
    return this._states;
  }

  set states(states: CellStates | null) {
    if (states !== this._states) {
      this._states?.changed.disconnect(this._onChanged, this);
      this._states = states;
      states?.changed.connect(this._onChanged, this);
      this._onChanged();
    }
  }

  protected override onAfterShow(): void {
    this.update();
  }

  protected render(): JSX.Element {
    const nodes = this._states?.isDisposed ? [] : (this._states?.nodes ?? []);
    return <CellGraph nodes={nodes} onShow={this.reveal} trans={this.trans} />;
  }

  private _onChanged(): void {
    if (this.isVisible) {
      this.update();
    }
  }

  private _states: CellStates | null = null;
}
