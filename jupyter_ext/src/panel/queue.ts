/**
 * The queue that is open in the panel.
 */
import { Follower } from '../model';
import { FollowedModel } from './followed';
import { TasksModel } from './tasks';
import type { IAppView, IQueueView } from './tokens';

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
    this._summary = await this.follower.api.look('queue', {
      queue: this.folder
    });
    return true;
  }

  private _summary: IQueueView | null = null;
}
