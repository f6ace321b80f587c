/**
 * The page of `desipipe serve`: the panel, its pages and its notices without JupyterLab. Wiring only.
 */
import { nullTranslator } from '@jupyterlab/translation';
import { Widget } from '@lumino/widgets';

import '../../style/page.css';
import { Follower } from '../model';
import { buildPanel } from '../panel/build';
import { Api } from '../request';
import { BrowserThemes, TabStates } from './browser';
import { PageHost } from './host';
import { Notices } from './notices';

const trans = nullTranslator.load('desipipe');
const host = new PageHost();

// eslint-disable-next-line jupyter/require-disposable-transfer -- it lives as long as the page
const panel = buildPanel({
  app: host,
  follower: new Follower(Api.ofPage()),
  trans,
  registry: null,
  restorer: null,
  states: new TabStates(),
  palette: null,
  notebooks: null,
  cells: null,
  notebookQueues: null,
  insertUse: null,
  languages: null,
  themes: new BrowserThemes(),
  area: 'main'
});
host.attach();
host.shell.activateById(panel.id);
Widget.attach(new Notices(trans), document.body);
