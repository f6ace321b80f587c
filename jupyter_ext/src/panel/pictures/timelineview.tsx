/**
 * The timeline of a queue's workers, drawn: who ran what when.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import { scaleTime } from 'd3-scale';
import React from 'react';

import { stateWords } from '../../components/status';
import { duration, number } from '../../format';
import { Shown, STATES, SYMBOLS, TaskState } from '../../tokens';
import {
  IInterval,
  ILaneView,
  ITaskLabel,
  ITimelineView,
  label
} from '../tokens';
import { Tools } from './graphview';
import { short } from './layout';
import { IPalette } from './palette';
import type { OnSave } from './save';
import { busySpans, joinSpans, nearestView, Span } from './spans';
import { sameTimes, useZoom, zoomIdentity, ZoomTransform } from './zoom';

/** Sizes, px. */
const GUTTER = 190;
const LEVEL = 16;
const BAND = 34;
const GAP = 6;
const AXIS = 24;

/** How opaque attempts of superseded tasks are. */
const DIM = 0.3;

/** Above this factor a part is shown. */
const ZOOMED = 1.01;

/** ms after the last movement until more of what is seen is asked for. */
const REST = 300;

/** Properties of {@link TimelineView}. */
export interface ITimelineViewProps {
  timeline: ITimelineView;
  queue: string;
  /** From when to when all of it goes (s); what was asked for may be a part. */
  whole: [number, number];
  /** When the answer came (s): what runs has run until then. */
  now: number;
  colours: IPalette;
  /** Someone looks at a part only (s), or at all of it. */
  onPart: (part: [number, number] | null) => void;
  onTask: (task: ITaskLabel) => void;
  onSave: OnSave;
  trans: TranslationBundle;
}

/** Lanes of workers over time. */
export function TimelineView(props: ITimelineViewProps): JSX.Element {
  const { timeline, whole, colours, trans } = props;
  const svg = React.useRef<SVGSVGElement>(null);
  const [width, setWidth] = React.useState(900);
  const [byApp, setByApp] = React.useState(true);
  const names = React.useRef<readonly string[]>([]);
  names.current = React.useMemo(
    () => appNames(timeline, names.current),
    [timeline]
  );
  const here = React.useMemo(() => new Set(appNames(timeline)), [timeline]);
  const apps = appColours(names.current);
  React.useLayoutEffect(() => {
    const node = svg.current!;
    const measure = () => setWidth(Math.max(400, node.clientWidth));
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(node);
    return () => observer.disconnect();
  }, []);
  const base = scaleTime()
    .domain([
      new Date(1000 * whole[0]),
      new Date(1000 * Math.max(whole[1], whole[0] + 0.001))
    ])
    .range([GUTTER, width - 10]);
  const busy = React.useRef<readonly Span[]>([]);
  busy.current = React.useMemo(
    () => joinSpans([...busy.current, ...busySpans(timeline, props.now)]),
    [timeline]
  );
  /** Some attempts stay in sight, however far one zooms into a time between them. */
  const keep = (transform: ZoomTransform) => {
    const seen = transform.rescaleX(base).domain().map(seconds);
    const [low, high] = [seen[0], seen[1]];
    const from = nearestView(busy.current, [low, high]);
    return from === low
      ? transform
      : zoomIdentity
          .translate(
            GUTTER - transform.k * base(new Date(1000 * from)),
            transform.y
          )
          .scale(transform.k);
  };
  const zoom = useZoom(svg, [1, 100_000], 1, [width, 1e6], keep);
  // Who zoomed goes on to see the same time, though there is more of it, until *Fit*.
  const before = React.useRef(whole);
  React.useLayoutEffect(() => {
    const { transform } = zoom;
    if (transform.k > ZOOMED) {
      const range = [GUTTER, width - 10] as const;
      zoom.to(sameTimes(transform, before.current, whole, range));
    }
    before.current = whole;
  }, [whole[0], whole[1]]);
  const x = zoom.transform.rescaleX(base);
  // When one has found what one looks for, it is shown in detail.
  const { k } = zoom.transform;
  const [from, to] = x.domain().map(seconds);
  React.useEffect(() => {
    const timer = setTimeout(
      () => props.onPart(k > ZOOMED ? [from, to] : null),
      REST
    );
    return () => clearTimeout(timer);
  }, [k > ZOOMED ? from : 0, k > ZOOMED ? to : 0]);
  let top = AXIS;
  const lanes = timeline.lanes.map(lane => {
    const height = timeline.aggregated
      ? BAND
      : Math.max(1, lane.height) * LEVEL;
    const placed = { lane, top, height };
    top += height + GAP;
    return placed;
  });
  const height = top;
  const box = { x: 0, y: 0, width, height };
  return (
    <>
      <div
        className="jp-desipipe-tools"
        role="toolbar"
        aria-label={trans.__('Timeline')}
      >
        <span className="jp-desipipe-aside">
          {trans._n(
            '%2 attempt',
            '%2 attempts',
            timeline.total,
            number(timeline.total)
          )}
          {timeline.superseded > 0 &&
            ` · ${SYMBOLS.SUPERSEDED} ${trans.__('%1 superseded', number(timeline.superseded))}`}
          {timeline.aggregated &&
            ` · ${trans.__('aggregated; zoom in for single tasks')}`}
          {timeline.hidden > 0 &&
            ` · ${trans._n(
              '%2 more worker is not shown',
              '%2 more workers are not shown',
              timeline.hidden,
              number(timeline.hidden)
            )}`}
        </span>
        {!timeline.aggregated && (
          <select
            aria-label={trans.__('Colour by')}
            value={byApp ? 'app' : 'state'}
            onChange={event => setByApp(event.target.value === 'app')}
          >
            <option value="app">{trans.__('colour by app')}</option>
            <option value="state">{trans.__('colour by state')}</option>
          </select>
        )}
        {byApp && !timeline.aggregated && (
          <span className="jp-desipipe-legend">
            {[...apps]
              .filter(([name]) => here.has(name))
              .slice(0, APPS)
              .map(([name, colour]) => (
                <span key={name}>
                  <span
                    className="jp-desipipe-swatch"
                    style={{ background: colour }}
                  />{' '}
                  {name}
                </span>
              ))}
          </span>
        )}
        <Legend timeline={timeline} colours={colours} trans={trans} />
        <span className="jp-desipipe-space" />
        <Tools
          zoom={zoom.by}
          fit={() => zoom.to(zoomIdentity)}
          save={kind => svg.current && props.onSave(svg.current, box, kind)}
          trans={trans}
        />
      </div>
      <div
        className="jp-desipipe-lanes"
        tabIndex={0}
        role="group"
        aria-label={trans.__('Timeline of the workers of %1', props.queue)}
      >
        <svg
          ref={svg}
          className="jp-desipipe-picture"
          style={{ height: Math.max(height, 60) }}
          role="img"
          aria-label={[
            trans._n(
              '%2 worker',
              '%2 workers',
              timeline.lanes.length,
              number(timeline.lanes.length)
            ),
            trans._n(
              '%2 attempt',
              '%2 attempts',
              timeline.total,
              number(timeline.total)
            )
          ].join(', ')}
          fontFamily={colours.font}
          fontSize="11"
        >
          <defs>
            <pattern
              id="jp-desipipe-hatch"
              width="6"
              height="6"
              patternUnits="userSpaceOnUse"
              patternTransform="rotate(45)"
            >
              <rect width="2.5" height="6" fill="white" fillOpacity="0.45" />
            </pattern>
            <clipPath id="jp-desipipe-clip">
              <rect
                x={GUTTER}
                y={0}
                width={Math.max(0, width - GUTTER)}
                height={height}
              />
            </clipPath>
          </defs>
          <rect width={width} height={height} fill={colours.background} />
          <g clipPath="url(#jp-desipipe-clip)">
            {x.ticks(Math.max(2, Math.floor(width / 130))).map(tick => (
              <g key={tick.getTime()} transform={`translate(${x(tick)},0)`}>
                <line y1={AXIS - 6} y2={height} stroke={colours.line} />
                <text x="3" y={AXIS - 10} fill={colours.quiet}>
                  {x.tickFormat()(tick)}
                </text>
              </g>
            ))}
          </g>
          {lanes.map(({ lane, top, height }) => (
            <g key={lane.worker} transform={`translate(0,${top})`}>
              <rect
                x={GUTTER}
                width={width - GUTTER}
                height={height}
                fill={colours.raised}
                fillOpacity="0.5"
              />
              <text x="6" y="12" fill={colours.text}>
                <title>{`${lane.worker} · ${lane.host}`}</title>
                {short(lane.job || lane.worker, GUTTER - 16)}
              </text>
              {height >= 28 && (
                <text x="6" y="25" fill={colours.quiet}>
                  {short(lane.host, GUTTER - 16)}
                </text>
              )}
              <g clipPath="url(#jp-desipipe-clip)">
                <Lane
                  {...props}
                  lane={lane}
                  height={height}
                  width={width}
                  x={x}
                  apps={byApp ? apps : null}
                />
              </g>
            </g>
          ))}
        </svg>
      </div>
    </>
  );
}

function seconds(date: Date): number {
  return date.getTime() / 1000;
}

interface ILaneProps extends ITimelineViewProps {
  /** Colours by the names of apps; `null`: those of states. */
  apps: Map<string, string> | null;
  lane: ILaneView;
  height: number;
  /** Of the picture. */
  width: number;
  x: (time: Date) => number;
}

function Lane(props: ILaneProps): JSX.Element {
  const { lane, timeline, now, height, x, colours, trans } = props;
  const words = stateWords(trans);
  const at = (time: number) => x(new Date(1000 * time));
  const [low, high] = [GUTTER - 5, props.width];
  const seen = (item: IInterval) =>
    at(item.end ?? now) >= low && at(item.start) <= high;
  if (timeline.aggregated) {
    return (
      <>
        {lane.intervals.filter(seen).map(item => {
          const worst = (['FAILED', 'KILLED', 'UNKNOWN'] as const).find(
            state => item.counts?.[state]
          );
          const state: TaskState =
            worst ?? ((item.count ?? 0) > 0 ? 'SUCCEEDED' : 'RUNNING');
          const high = (n: number) =>
            height * Math.min(1, n / Math.max(1, lane.slots));
          const [busy, old] = [item.busy ?? 0, item.busy_superseded ?? 0];
          const level = busy || item.count ? Math.max(2, high(busy)) : 0;
          // What is superseded stands dimmed above what counts.
          const top = Math.max(level, high(busy + old));
          const [left, end] = [at(item.start), at(item.end ?? now)];
          const parts = STATES.filter(state => item.counts?.[state]).map(
            state => `${number(item.counts?.[state] ?? 0)} ${words[state]}`
          );
          return (
            <g key={item.start}>
              <title>
                {[
                  busy || !old ? parallel(busy, trans) : '',
                  parts.join(', '),
                  old
                    ? trans.__('%1 superseded in parallel', number(old, 1))
                    : ''
                ]
                  .filter(part => part)
                  .join(' · ')}
              </title>
              {top > level && (
                <rect
                  x={left}
                  y={height - top}
                  width={Math.max(0.5, end - left)}
                  height={top - level}
                  fill={colours.states.SUPERSEDED}
                  fillOpacity={DIM}
                />
              )}
              <rect
                x={left}
                y={height - level}
                width={Math.max(0.5, end - left)}
                height={level}
                fill={colours.states[state]}
              />
              {worst && (
                <rect
                  x={left}
                  y={height - level}
                  width={Math.max(0.5, end - left)}
                  height={level}
                  fill="url(#jp-desipipe-hatch)"
                />
              )}
            </g>
          );
        })}
      </>
    );
  }
  return (
    <>
      {lane.intervals.filter(seen).map(item => {
        const old = !!item.superseded;
        const state: Shown = old ? 'SUPERSEDED' : (item.state ?? 'RUNNING');
        const pale = state === 'RUNNING' ? 0.6 : old ? DIM : 1;
        const fill = old ? undefined : props.apps?.get(item.name ?? '');
        const [left, end] = [at(item.start), at(item.end ?? now)];
        const wide = Math.max(1, end - left - 1);
        const task: ITaskLabel = {
          tid: item.tid ?? '',
          name: item.name ?? '',
          index: item.index ?? 0
        };
        const worst =
          state === 'FAILED' || state === 'KILLED' || state === 'UNKNOWN';
        const visible = Math.min(end, high) - Math.max(left, GUTTER);
        return (
          <g
            key={`${item.tid} ${item.start}`}
            transform={`translate(0,${(item.level ?? 0) * LEVEL})`}
            style={{ cursor: 'pointer' }}
            data-task={item.tid}
            onClick={() => props.onTask(task)}
          >
            <title>{`${label(task)} · ${words[state]} · ${duration((item.end ?? now) - item.start, trans)}`}</title>
            <rect
              x={left}
              y="1"
              width={wide}
              height={LEVEL - 2}
              rx={wide > 6 ? 2 : 0}
              fill={fill ?? colours.states[state]}
              fillOpacity={pale}
              stroke={fill && wide > 6 ? colours.quiet : undefined}
            />
            {worst && (
              <rect
                x={left}
                y="1"
                width={wide}
                height={LEVEL - 2}
                fill="url(#jp-desipipe-hatch)"
              />
            )}
            {visible > 40 && (
              <text
                x={Math.max(left, GUTTER) + 4}
                y={LEVEL - 5}
                // What runs is shown pale: the page shines through.
                fill={pale < 1 ? colours.text : 'black'}
                fontSize="10"
                pointerEvents="none"
              >
                {short(`${SYMBOLS[state]} ${label(task)}`, visible - 10)}
              </text>
            )}
          </g>
        );
      })}
    </>
  );
}

/** `1.9 tasks in parallel`. */
function parallel(busy: number, trans: TranslationBundle): string {
  const text = number(busy, 1);
  return trans._n(
    '%2 task in parallel',
    '%2 tasks in parallel',
    text === number(1) ? 1 : 2,
    text
  );
}

/** Colours of apps, told apart by the colour-blind, on which black can be read; more apps share them. */
const APP_COLOURS = [
  '#56b4e9',
  '#e69f00',
  '#2fb48c',
  '#f0e442',
  '#cc79a7',
  '#8fa8d0',
  '#d98a5b',
  '#a3a3a3'
];
/** Apps that the legend names. */
const APPS = 8;

/**
 * The names of apps that ran, those that are known first: an app keeps its colour where only a part
 * is shown.
 */
function appNames(
  timeline: ITimelineView,
  known: readonly string[] = []
): readonly string[] {
  const names = timeline.lanes.flatMap(lane =>
    lane.intervals.map(item => (item.superseded ? '' : (item.name ?? '')))
  );
  return [...new Set([...known, ...names.filter(name => name).sort()])];
}

/** A colour for each app. */
function appColours(names: readonly string[]): Map<string, string> {
  return new Map(
    names.map((name, i) => [name, APP_COLOURS[i % APP_COLOURS.length]])
  );
}

/** States in the order of the legend. */
const LEGEND: readonly Shown[] = [...STATES, 'SUPERSEDED'];

/** Colours and symbols of what is there. */
function Legend({
  timeline,
  colours,
  trans
}: {
  timeline: ITimelineView;
  colours: IPalette;
  trans: TranslationBundle;
}): JSX.Element {
  const words = stateWords(trans);
  const there = new Set<Shown>();
  for (const lane of timeline.lanes) {
    for (const item of lane.intervals) {
      if (item.superseded || item.busy_superseded) {
        there.add('SUPERSEDED');
      }
      if (item.state && !item.superseded) {
        there.add(item.state);
      }
      for (const state of STATES) {
        if (item.counts?.[state]) {
          there.add(state);
        }
      }
    }
  }
  return (
    <span className="jp-desipipe-legend">
      {LEGEND.filter(state => there.has(state)).map(state => (
        <span key={state}>
          <span aria-hidden="true" style={{ color: colours.states[state] }}>
            {SYMBOLS[state]}
          </span>{' '}
          {words[state]}
        </span>
      ))}
    </span>
  );
}
