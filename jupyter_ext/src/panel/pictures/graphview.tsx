/**
 * The graph of a queue, drawn.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import { stateWords } from '../../components/status';
import { number } from '../../format';
import { SYMBOLS } from '../../tokens';
import { IGraphView, INode, ITaskLabel } from '../tokens';
import { APP, fold, IPlaced, parts, place, shape, short, TASK } from './layout';
import { IPalette } from './palette';
import type { OnSave } from './save';
import { useZoom, zoomIdentity } from './zoom';

/** Properties of {@link GraphView}. */
export interface IGraphViewProps {
  graph: IGraphView;
  /** Name of the queue. */
  queue: string;
  colours: IPalette;
  /** Apps whose tasks are shown one by one, because someone asked. */
  unfolded: readonly string[];
  onUnfold: (names: string[]) => void;
  onTask: (task: ITaskLabel) => void;
  onSave: OnSave;
  trans: TranslationBundle;
}

/** Apps that can be folded one by one. */
const UNFOLDED = 5;

/** Which tasks need which. */
export function GraphView(props: IGraphViewProps): JSX.Element {
  const { graph, unfolded, colours, trans } = props;
  const svg = React.useRef<SVGSVGElement>(null);
  // Places stay while tasks only change their states.
  const key = shape(graph, unfolded);
  const picture = React.useMemo(() => place(graph, unfolded), [key]);
  const zoom = useZoom(svg, [0.05, 4], 1, [picture.width, picture.height]);
  const now = React.useMemo(
    () =>
      new Map(
        fold(graph, name => picture.folded.has(name)).nodes.map(node => [
          node.id,
          node
        ])
      ),
    [graph, picture]
  );
  const fit = React.useCallback(() => {
    const box = svg.current?.getBoundingClientRect();
    if (box && box.width && picture.width) {
      const k = Math.min(
        1.2,
        box.width / picture.width,
        box.height / picture.height
      );
      zoom.to(
        zoomIdentity
          .translate(
            (box.width - k * picture.width) / 2,
            (box.height - k * picture.height) / 2
          )
          .scale(k)
      );
    }
  }, [picture]);
  React.useEffect(fit, [fit]);
  const onUnfold = useKeptFocus(svg, props.onUnfold, unfolded, picture);
  const box = { x: 0, y: 0, width: picture.width, height: picture.height };
  return (
    <>
      <div
        className="jp-desipipe-tools"
        role="toolbar"
        aria-label={trans.__('Graph')}
      >
        <span className="jp-desipipe-aside">
          {trans._n('%2 task', '%2 tasks', graph.total, number(graph.total))}
          {picture.crowded &&
            ` · ${trans.__('too many lines to show single tasks')}`}
        </span>
        {picture.folded.size > 0 && !picture.crowded && (
          <button
            type="button"
            className="jp-desipipe-button"
            onClick={() => onUnfold([...picture.folded])}
          >
            {trans.__('Show single tasks')}
          </button>
        )}
        {picture.unfolded.length > 1 && (
          <button
            type="button"
            className="jp-desipipe-button"
            onClick={() => onUnfold([])}
          >
            {trans.__('Fold by app')}
          </button>
        )}
        {picture.unfolded.slice(0, UNFOLDED).map(name => (
          <button
            key={name}
            type="button"
            className="jp-desipipe-button"
            title={trans.__('Show the app instead of its tasks')}
            onClick={() => onUnfold(unfolded.filter(other => other !== name))}
          >
            {trans.__('Fold %1', name)}
          </button>
        ))}
        <span className="jp-desipipe-space" />
        <Tools
          zoom={zoom.by}
          fit={fit}
          save={kind => svg.current && props.onSave(svg.current, box, kind)}
          trans={trans}
        />
      </div>
      <svg
        ref={svg}
        className="jp-desipipe-picture"
        role="group"
        aria-label={trans.__('Graph of the tasks of %1', props.queue)}
        fontFamily={colours.font}
        fontSize="12"
      >
        <defs>
          <marker
            id="jp-desipipe-arrow"
            viewBox="0 0 8 8"
            refX="7"
            refY="4"
            markerUnits="userSpaceOnUse"
            markerWidth="9"
            markerHeight="9"
            orient="auto"
          >
            <path d="M0,0L8,4L0,8Z" fill={colours.quiet} />
          </marker>
        </defs>
        <g data-zoomed="" transform={zoom.transform.toString()}>
          {picture.ways.map(way => (
            <g
              key={way.key}
              fill="none"
              stroke={colours.quiet}
              strokeOpacity="0.6"
            >
              <path
                d={way.path}
                strokeWidth={Math.min(4, 1 + Math.log10(way.count))}
                markerEnd="url(#jp-desipipe-arrow)"
              />
            </g>
          ))}
          {picture.nodes.map(placed => (
            <Node
              key={placed.node.id}
              {...props}
              onUnfold={onUnfold}
              placed={{
                ...placed,
                node: now.get(placed.node.id) ?? placed.node
              }}
            />
          ))}
        </g>
      </svg>
    </>
  );
}

/** Unfold and fold, and keep the focus in the picture: what had it is replaced by other nodes. */
function useKeptFocus(
  svg: React.RefObject<SVGSVGElement>,
  onUnfold: (names: string[]) => void,
  before: readonly string[],
  picture: unknown
): (names: string[]) => void {
  /** The app that was folded or unfolded; empty: several. */
  const changed = React.useRef<string | null>(null);
  React.useEffect(() => {
    if (changed.current !== null && document.activeElement === document.body) {
      const nodes = [
        ...(svg.current?.querySelectorAll<SVGGElement>('[data-node]') ?? [])
      ];
      const app = nodes.find(({ dataset }) => dataset.app === changed.current);
      (app ?? nodes[0])?.focus();
      changed.current = null;
    }
  }, [picture]);
  return names => {
    const some = [
      ...names.filter(name => !before.includes(name)),
      ...before.filter(name => !names.includes(name))
    ];
    changed.current = some.length === 1 ? some[0] : '';
    onUnfold(names);
  };
}

function Node(props: IGraphViewProps & { placed: IPlaced }): JSX.Element {
  const { placed, colours, trans } = props;
  const { node, x, y, width, height } = placed;
  const words = stateWords(trans);
  const act = () =>
    node.tid
      ? props.onTask({ tid: node.tid, name: node.name, index: node.index ?? 0 })
      : props.onUnfold([
          ...props.unfolded.filter(name => name !== node.name),
          node.name
        ]);
  const state =
    node.state === 'WAITING' && node.blocked ? 'BLOCKED' : node.state;
  const name = node.tid ? `${node.name}[${node.index}]` : node.name;
  const facts =
    node.tid && state
      ? words[state]
      : [
          ...parts(node).map(([state, n]) => `${number(n)} ${words[state]}`),
          ...(node.blocked
            ? [`${number(Number(node.blocked))} ${words.BLOCKED}`]
            : [])
        ].join(', ');
  return (
    <g
      transform={`translate(${x - width / 2},${y - height / 2})`}
      role="button"
      tabIndex={0}
      aria-label={`${name}: ${facts}`}
      data-node={node.id}
      data-app={node.name}
      style={{ cursor: 'pointer' }}
      onClick={act}
      onKeyDown={event => {
        if (event.key === 'Enter' || event.key === ' ') {
          event.preventDefault();
          act();
        }
      }}
    >
      <title>
        {node.tid
          ? `${name}: ${facts}`
          : `${name}: ${facts}\n${trans.__('Click to show its single tasks')}`}
      </title>
      <rect
        width={width}
        height={height}
        rx="5"
        fill={colours.background}
        stroke={state ? colours.states[state] : colours.quiet}
        strokeWidth="1.5"
        strokeDasharray={
          state === 'WAITING' || state === 'BLOCKED' ? '4 3' : undefined
        }
      />
      {node.tid && state ? (
        <>
          <text
            x="10"
            y={TASK.height / 2 + 4}
            fill={colours.states[state]}
            fontWeight="bold"
            aria-hidden="true"
          >
            {SYMBOLS[state]}
          </text>
          <text x="26" y={TASK.height / 2 + 4} fill={colours.text}>
            {short(name, width - 34)}
          </text>
        </>
      ) : (
        <App node={node} width={width} colours={colours} />
      )}
    </g>
  );
}

function App({
  node,
  width,
  colours
}: {
  node: INode;
  width: number;
  colours: IPalette;
}): JSX.Element {
  const total = node.total || 1;
  let at = 10;
  const room = width - 20;
  const {
    FAILED = 0,
    KILLED = 0,
    UNKNOWN = 0,
    SUCCEEDED = 0
  } = node.counts ?? {};
  const failed = FAILED + KILLED + UNKNOWN;
  return (
    <>
      <text x="10" y="17" fill={colours.text} fontWeight="600">
        {short(node.name, width - 20)}
      </text>
      <rect x="10" y="22" width={room} height="6" fill={colours.raised} />
      {parts(node).map(([state, n]) => {
        const part = (room * n) / total;
        const start = at;
        at += part;
        return state === 'PENDING' || state === 'WAITING' ? null : (
          <rect
            key={state}
            x={start}
            y="22"
            width={part}
            height="6"
            fill={colours.states[state]}
          />
        );
      })}
      <text x="10" y={APP.height - 8} fill={colours.quiet} fontSize="11">
        {`${number(SUCCEEDED)} / ${number(total)}`}
      </text>
      {failed > 0 && (
        <text
          x={width - 10}
          y={APP.height - 8}
          fill={colours.text}
          fontSize="11"
          textAnchor="end"
        >
          <tspan fill={colours.states.FAILED}>{SYMBOLS.FAILED}</tspan>
          {` ${number(failed)}`}
        </text>
      )}
    </>
  );
}

/** What pictures have in common. */
export function Tools(props: {
  zoom: (factor: number) => void;
  fit: () => void;
  save: (kind: 'svg' | 'png') => void;
  trans: TranslationBundle;
}): JSX.Element {
  const { trans } = props;
  const button = (words: string, title: string, act: () => void) => (
    <button
      type="button"
      className="jp-desipipe-button"
      title={title}
      aria-label={/\w/.test(words) ? undefined : title}
      onClick={act}
    >
      {words}
    </button>
  );
  return (
    <>
      {button('+', trans.__('Zoom in'), () => props.zoom(1.5))}
      {button('−', trans.__('Zoom out'), () => props.zoom(1 / 1.5))}
      {button(trans.__('Fit'), trans.__('Show all of it'), props.fit)}
      {button('SVG', trans.__('Save as SVG'), () => props.save('svg'))}
      {button('PNG', trans.__('Save as PNG'), () => props.save('png'))}
    </>
  );
}
