/**
 * A task whose page is open.
 */
import { Follower } from '../model';
import type { IDisplaySource } from './components/displays';
import { FollowedModel } from './followed';
import { LogModel } from './log';
import type { IDisplayList, ITaskView } from './tokens';

/** All that is known of a task, while someone looks. */
export class TaskModel extends FollowedModel {
  constructor(
    follower: Follower,
    folder: string,
    readonly tid: string,
    interval = 500
  ) {
    super(follower, folder, interval);
    this.out = new LogModel(follower.api, folder, tid, 'out');
    this.err = new LogModel(follower.api, folder, tid, 'err');
  }

  /** What it printed; both tell of their changes themselves. */
  readonly out: LogModel;
  readonly err: LogModel;

  /** What it displayed, asked for when it is looked at. */
  readonly displays: IDisplaySource = {
    list: () =>
      this.follower.api.look<IDisplayList>('displays', {
        queue: this.folder,
        tid: this.tid
      }),
    open: async number =>
      (
        await this.follower.api.look<{ data: Record<string, unknown> }>(
          'display',
          { queue: this.folder, tid: this.tid, number: `${number}` }
        )
      ).data
  };

  /** The attempt whose output is shown; 0: the last one. */
  set attempt(attempt: number) {
    this.out.attempt = this.err.attempt = attempt;
  }

  get task(): ITaskView | null {
    return this._task;
  }

  override dispose(): void {
    super.dispose();
    this.out.dispose();
    this.err.dispose();
  }

  protected override onVisible(visible: boolean): void {
    this.out.visible = this.err.visible = visible;
  }

  protected async look(): Promise<boolean> {
    const before = this._task;
    const now = await this.follower.api.look<ITaskView>('task', {
      queue: this.folder,
      tid: this.tid
    });
    this._task = now;
    if (before?.state !== now.state || before?.attempt !== now.attempt) {
      this.out.wake();
      this.err.wake();
    }
    return JSON.stringify(before) !== JSON.stringify(now);
  }

  private _task: ITaskView | null = null;
}
