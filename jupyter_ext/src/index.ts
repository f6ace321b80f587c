/**
 * The extension's plugins: wiring only.
 */
import {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

// A notebook that is restored shows its cells before anything could be loaded later: a renderer is made at once, or another one is taken.
import { Follower, IFollower } from './model';
// eslint-disable-next-line jupyter/prefer-lazy-imports
import { rendererFactory } from './renderer';
import { cellsPlugin } from './cells/plugin';
import { panelPlugin } from './panel/plugin';
import { recordPlugin } from './record';
// eslint-disable-next-line jupyter/prefer-lazy-imports
import { Api } from './request';

/** Text of a bundle's HTML has rank 50 to 60 in the registry; this one is more. */
const RANK = 10;

const renderer: JupyterFrontEndPlugin<Follower> = {
  id: 'desipipe-lab:renderer',
  description: 'Shows the tasks of %%desipipe cells, live.',
  autoStart: true,
  provides: IFollower,
  requires: [IRenderMimeRegistry],
  optional: [ITranslator],
  activate: (
    app: JupyterFrontEnd,
    rendermime: IRenderMimeRegistry,
    translator: ITranslator | null
  ) => {
    const follower = new Follower(new Api(app.serviceManager.serverSettings));
    rendermime.addFactory(
      rendererFactory(rendermime, follower, translator ?? nullTranslator),
      RANK
    );
    return follower;
  }
};

export default [renderer, panelPlugin, recordPlugin, cellsPlugin];
