/**
 * The queue that is open in the panel.
 */
import { Follower } from '../model';
import { FollowedModel } from './followed';
import { TasksModel } from './tasks';
import type { IAppView, IQueueView } from './tokens';

/** ms after which workers are asked again what they use, also where nothing happens. */
const USAGE = 10_000;

/** All there is to see of a queue, and its tasks, while someone looks. */
export class QueueModel extends FollowedModel {
  constructor(follower: Follower, folder: string, interval = 250) {
    super(follower, folder, interval);
    this.tasks = new TasksModel(follower.api, folder);
  }

  /** They tell of their changes themselves. */
  readonly tasks: TasksModel;

  /** Ask the server for the apps of the queue. */
  readonly apps = (): Promise<IAppView[]> =>
    this.follower.api.look('apps', { queue: this.folder });

  get summary(): IQueueView | null {
    return this._summary;
  }

  protected async look(): Promise<boolean> {
    this.tasks.touch();
    clearTimeout(this._timer);
    this._summary = await this.follower.api.look<IQueueView>('queue', {
      queue: this.folder
    });
    if (this._summary.workers.length && this.visible) {
      this._timer = setTimeout(() => this.refresh(), USAGE);
    }
    return true;
  }

  protected override onVisible(visible: boolean): void {
    if (!visible) {
      clearTimeout(this._timer);
    }
  }

  private _summary: IQueueView | null = null;
  private _timer: ReturnType<typeof setTimeout> | undefined;
}
