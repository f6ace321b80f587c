/**
 * Where the nodes of a graph are drawn.
 *
 * By dagre, the smallest of the libraries that place layered graphs (17 kB compressed; MIT; kept up since 2012, with a release this year). elkjs has 480 kB and a licence with duties (EPL). Cytoscape (137 kB, and
 * saves SVG only by a plugin under the GPL) and ECharts (169 kB) draw on a canvas of their own, where a screen reader, the keyboard, the theme and SVG would have to be added again: React draws SVG already.
 */
import * as dagre from '@dagrejs/dagre';

import { State, STATES } from '../../tokens';
import type { IGraphApp } from '../../generated/view';
import type { IGraphView, INode } from '../tokens';

/** The most lines that are drawn: more are no picture, and take long to place. */
export const MOST_EDGES = 1500;
/** Above so many tasks, apps stand for their tasks at first. */
const CROWD = 30;

/** Sizes, px. */
export const TASK = { height: 26, letter: 7.2, padding: 34, most: 260 };
export const APP = { height: 50, least: 150 };

/** A node and its place. */
export interface IPlaced {
  node: INode;
  x: number;
  y: number;
  width: number;
  height: number;
}

/** A line and its way. */
export interface IWay {
  key: string;
  path: string;
  count: number;
}

/** A graph with places. */
export interface IPicture {
  nodes: IPlaced[];
  ways: IWay[];
  width: number;
  height: number;
  /** Names of apps whose tasks are shown one by one, and could be folded. */
  unfolded: string[];
  /** Names of apps that stand for their tasks. */
  folded: Set<string>;
  /** Whether apps are folded because their lines would be too many. */
  crowded: boolean;
}

/** Let apps stand for their tasks. */
export function fold(
  graph: IGraphView,
  folds: (name: string) => boolean
): IGraphView {
  const apps = new Map<string, IGraphApp>();
  const place = new Map<string, string>();
  const nodes: INode[] = [];
  for (const node of graph.nodes) {
    if (node.tid === undefined) {
      const app: IGraphApp = { ...node, counts: { ...node.counts } };
      apps.set(node.name, app);
      nodes.push(app);
    }
  }
  for (const node of graph.nodes) {
    if (!node.tid || !folds(node.name)) {
      place.set(node.id, node.id);
      if (node.tid) {
        nodes.push(node);
      }
      continue;
    }
    let app = apps.get(node.name);
    if (!app) {
      app = {
        id: node.name,
        name: node.name,
        total: 0,
        counts: {},
        blocked: 0
      };
      apps.set(node.name, app);
      nodes.push(app);
    }
    const state = node.state as State; // those of deleted tasks are not in a graph
    app.total += 1;
    app.counts[state] = (app.counts[state] ?? 0) + 1;
    app.blocked += node.blocked ? 1 : 0;
    place.set(node.id, app.id);
  }
  const edges = new Map<string, IGraphView['edges'][number]>();
  for (const { source, target, count } of graph.edges) {
    const [from, to] = [
      place.get(source) ?? source,
      place.get(target) ?? target
    ];
    const known = edges.get(`${from} ${to}`);
    if (known) {
      known.count += count;
    } else {
      edges.set(`${from} ${to}`, { source: from, target: to, count });
    }
  }
  return { ...graph, nodes, edges: [...edges.values()] };
}

/** What is folded before anybody said so. */
export function large(graph: IGraphView): Set<string> {
  const sizes = new Map<string, number>();
  for (const node of graph.nodes) {
    sizes.set(node.name, (sizes.get(node.name) ?? 0) + 1);
  }
  return new Set(
    graph.nodes.length > CROWD
      ? [...sizes].filter(([, n]) => n > 1).map(([name]) => name)
      : []
  );
}

/**
 * Place a graph.
 *
 * @param asked - names of apps that someone unfolded
 */
export function place(graph: IGraphView, asked: readonly string[]): IPicture {
  let folded = new Set([...large(graph)].filter(name => !asked.includes(name)));
  let shown = fold(graph, name => folded.has(name));
  const crowded = shown.edges.length > MOST_EDGES;
  if (crowded) {
    folded = new Set(graph.nodes.map(node => node.name));
    shown = fold(graph, () => true);
  }
  const layout = new dagre.graphlib.Graph({ multigraph: false });
  layout.setGraph({
    rankdir: 'LR',
    nodesep: 10,
    ranksep: 60,
    marginx: 16,
    marginy: 16
  });
  layout.setDefaultEdgeLabel(() => ({}));
  for (const node of shown.nodes) {
    layout.setNode(node.id, size(node));
  }
  for (const { source, target } of shown.edges) {
    if (source !== target && layout.hasNode(source) && layout.hasNode(target)) {
      layout.setEdge(source, target);
    }
  }
  dagre.layout(layout);
  const { width = 0, height = 0 } = layout.graph() as {
    width?: number;
    height?: number;
  };
  const nodes = shown.nodes.map((node): IPlaced => ({
    node,
    ...(layout.node(node.id) as Omit<IPlaced, 'node'>)
  }));
  const turned = upright(nodes, height);
  for (const placed of nodes) {
    placed.y = turned(placed.y);
  }
  const placed = new Map(nodes.map(item => [item.node.id, item]));
  return {
    nodes,
    ways: shown.edges
      .filter(({ source, target }) => layout.hasEdge(source, target))
      .map(({ source, target, count }) => ({
        key: `${source} ${target}`,
        path: way(
          placed.get(source)!,
          placed.get(target)!,
          (layout.edge(source, target) as { points: IPoint[] }).points.map(
            ({ x, y }) => ({ x, y: turned(y) })
          )
        ),
        count
      })),
    width,
    height,
    unfolded: asked.filter(name =>
      shown.nodes.some(node => node.name === name && node.tid)
    ),
    folded,
    crowded
  };
}

/** What the places depend on: they stay while tasks only change their states. */
export function shape(graph: IGraphView, asked: readonly string[]): string {
  return JSON.stringify([
    graph.nodes.map(node => node.id),
    graph.edges.map(edge => [edge.source, edge.target]),
    asked
  ]);
}

/** How many tasks of an app are in each state, in the order of a bar. */
export function parts(node: INode): [State, number][] {
  return STATES.map((state): [State, number] => [
    state,
    node.counts?.[state] ?? 0
  ]).filter(([, n]) => n);
}

function size(node: INode): { width: number; height: number } {
  if (node.tid) {
    const letters = `${node.name}[${node.index}]`.length;
    return {
      width: Math.min(TASK.most, letters * TASK.letter + TASK.padding),
      height: TASK.height
    };
  }
  return {
    width: Math.max(
      APP.least,
      Math.min(TASK.most, node.name.length * TASK.letter + 30)
    ),
    height: APP.height
  };
}

interface IPoint {
  x: number;
  y: number;
}

/** From the right side of a node to the left side of another, level at both ends; what lies between them is passed as dagre found a way. */
function way(from: IPlaced, to: IPlaced, points: IPoint[]): string {
  const stops = [
    { x: from.x + from.width / 2, y: from.y },
    // Of neighbours, the one in the middle is of no use.
    ...(points.length > 3 ? points.slice(1, -1) : []),
    { x: to.x - to.width / 2, y: to.y }
  ];
  const text = (x: number, y: number) => `${x.toFixed(1)},${y.toFixed(1)}`;
  let path = `M${text(stops[0].x, stops[0].y)}`;
  for (let i = 1; i < stops.length; i++) {
    const [a, b] = [stops[i - 1], stops[i]];
    const middle = (a.x + b.x) / 2;
    path += `C${text(middle, a.y)} ${text(middle, b.y)} ${text(b.x, b.y)}`;
  }
  return path;
}

/** As much of a name as fits; its end, where the index is, before its beginning. */
export function short(name: string, width: number): string {
  const letters = Math.max(2, Math.floor(width / TASK.letter) + 1);
  const last = Math.min(5, letters - 1);
  return name.length <= letters
    ? name
    : `${name.slice(0, letters - 1 - last)}…${name.slice(-last)}`;
}

/** Turn it upside down where the last task of an app came to lie above its first. */
function upright(nodes: IPlaced[], height: number): (y: number) => number {
  const first = new Map<string, number>();
  let votes = 0;
  for (const { node, y } of nodes) {
    const before = first.get(node.name);
    if (before === undefined) {
      first.set(node.name, y);
    } else {
      votes += Math.sign(y - before);
    }
  }
  return votes < 0 ? y => height - y : y => y;
}
