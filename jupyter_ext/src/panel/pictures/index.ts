/**
 * What draws; a piece of the front end of its own, loaded when a picture is opened.
 */
export { GraphView } from './graphview';
export { palette } from './palette';
export { savePng, saveSvg, svgText } from './save';
export { TimelineView } from './timelineview';
