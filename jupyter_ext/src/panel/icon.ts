/**
 * The panel's icon: tasks that flow into one.
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
