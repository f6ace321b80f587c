/**
 * Colours of pictures: those of the theme, as they are now, because a picture that is saved has no theme.
 */
import type { Shown } from '../../tokens';

/** Colours, as CSS writes them. */
export interface IPalette {
  background: string;
  raised: string;
  text: string;
  quiet: string;
  line: string;
  font: string;
  states: Record<Shown, string>;
}

const STATES = [
  'SUCCEEDED',
  'FAILED',
  'KILLED',
  'UNKNOWN',
  'RUNNING',
  'PENDING',
  'WAITING',
  'BLOCKED',
  'SUPERSEDED'
] as const;

/** The colours in which a node of the page would be drawn. */
export function palette(node: Element): IPalette {
  const style = getComputedStyle(node);
  const value = (name: string) => style.getPropertyValue(name).trim();
  return {
    background: value('--jp-layout-color1') || 'white',
    raised: value('--jp-layout-color2') || '#eee',
    text: value('--jp-ui-font-color1') || 'black',
    quiet: value('--jp-ui-font-color2') || '#666',
    line: value('--jp-border-color1') || '#bbb',
    font: value('--jp-ui-font-family') || 'sans-serif',
    states: Object.fromEntries(
      STATES.map(state => [state, value(`--desipipe-${state.toLowerCase()}`)])
    ) as IPalette['states']
  };
}
