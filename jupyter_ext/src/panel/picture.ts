/**
 * What a picture shows.
 */
import { Follower } from '../model';
import { FollowedModel } from './followed';
import type { IGraphView, ITimelineView } from './tokens';

/** Which picture. */
export type Kind = 'graph' | 'timeline';

/** ms between two looks at a queue that changes: a picture need not move more often. */
const PACE = 1000;

/** A queue's graph, or its timeline, while someone looks. */
export class PictureModel extends FollowedModel {
  constructor(
    follower: Follower,
    folder: string,
    readonly kind: Kind,
    interval = PACE
  ) {
    super(follower, folder, interval);
  }

  get graph(): IGraphView | null {
    return this._graph;
  }

  get timeline(): ITimelineView | null {
    return this._timeline;
  }

  /** From when to when all of the timeline goes (s); `null` if nothing has run. */
  get whole(): [number, number] | null {
    return this._whole;
  }

  /** When the timeline was told (s): what runs has run until then. */
  get now(): number {
    return this._now;
  }

  /** Apps whose tasks are shown one by one. */
  get unfolded(): string[] {
    return this._unfolded;
  }

  set unfolded(names: string[]) {
    this._unfolded = names;
    this.refresh();
  }

  /** The part of the timeline that is told in detail (s); `null`: all of it. */
  set part(part: [number, number] | null) {
    if (`${part}` !== `${this._part}`) {
      this._part = part;
      this.refresh();
    }
  }

  protected async look(): Promise<boolean> {
    const { api } = this.follower;
    if (this.kind === 'graph') {
      this._graph = await api.look('graph', {
        queue: this.folder,
        name: this._unfolded
      });
      return true;
    }
    const part = this._part;
    const timeline = await api.look<ITimelineView>('timeline', {
      queue: this.folder,
      ...(part && { begin: `${part[0]}`, end: `${part[1]}` })
    });
    this._timeline = timeline;
    this._now = Date.now() / 1000;
    const [began, ended] = timeline.whole;
    if (began !== undefined) {
      this._whole = [began, ended];
    }
    return true;
  }

  private _graph: IGraphView | null = null;
  private _now = 0;
  private _part: [number, number] | null = null;
  private _timeline: ITimelineView | null = null;
  private _unfolded: string[] = [];
  private _whole: [number, number] | null = null;
}
