/**
 * Icons of our own: tasks that flow into one, of the panel; a run within a round, of stale cells.
 */
import { LabIcon } from '@jupyterlab/ui-components';

export const pipeIcon = new LabIcon({
  name: 'desipipe:icon',
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">
  <g class="jp-icon3" fill="#616161">
    <circle cx="5" cy="5" r="2.6"/><circle cx="5" cy="12" r="2.6"/><circle cx="5" cy="19" r="2.6"/><circle cx="19" cy="12" r="3.4"/>
  </g>
  <path class="jp-icon3" fill="#616161" d="M7.2 4.6c5 0 4.6 6.5 8.8 6.6v1.6c-4.200.1-3.800 6.600-8.800 6.600v-1.600c3.600 0 3.200-4.700 6-5.000H7.200v-1.600h6c-2.800-.3-2.400-5-6-5z"/>
</svg>`
});

export const runStaleIcon = new LabIcon({
  name: 'desipipe:run-stale',
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">
  <path class="jp-icon3" fill="#616161" d="M12 3a9 9 0 0 1 6.4 2.600L21 3v7h-7l3-3A7 7 0 1 0 19 12h2A9 9 0 1 1 12 3zM10 8.500v7l5.500-3.500z"/>
</svg>`
});
