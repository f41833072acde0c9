// From a figure to its picture: Vega-Lite's specification and the SVG that Vega draws of it without a browser. Both
// libraries are loaded only here and only when something is drawn.
import type { TopLevelSpec } from 'vega-lite';
import type { ResultFigure } from '../../experiment/results';
import { MlitError } from '../../native/errors';
import { curveSpec } from './curve';
import { heatmapSpec } from './heatmap';
import { pairsSpec } from './pairs';
import { scatterSpec } from './scatter';
import { textWidth } from './text';

/** The Vega-Lite specification of a figure, its data included: what `figures/*.vl.json` holds. */
export function figureSpec(figure: ResultFigure): TopLevelSpec {
  switch (figure.kind) {
    case 'heatmap':
      return heatmapSpec(figure);
    case 'curve':
      return curveSpec(figure);
    case 'pairs':
      return pairsSpec(figure);
    case 'scatter':
      return scatterSpec(figure);
  }
}

interface TextItem {
  fontSize?: number;
  fontWeight?: string | number;
}

/** Not in Vega's types; there for replacements like this one. */
interface Metrics {
  textMetrics: { width: (item: TextItem, text: unknown) => number };
}

/**
 * The SVG of a figure; equal figures give equal bytes, on machines with whatever fonts.
 *
 * @throws MlitError `INTERNAL` where Vega refuses the specification
 */
export async function renderFigure(figure: ResultFigure): Promise<string> {
  const [vega, vegaLite] = await Promise.all([import('vega'), import('vega-lite')]);
  // Names of clip paths are counted over the life of the process, and widths of words come from a canvas where one is
  // installed: neither may show in the bytes.
  const { textMetrics: metrics } = vega as unknown as Metrics;
  const width = metrics.width;
  try {
    metrics.width = ({ fontSize = 11, fontWeight }, text) =>
      textWidth(String(text ?? ''), fontSize, fontWeight === 'bold' || Number(fontWeight) >= 600);
    vega.resetSVGDefIds();
    const silent = vega.logger(vega.None);
    const { spec } = vegaLite.compile(figureSpec(figure), { logger: silent });
    const view = new vega.View(vega.parse(spec), { renderer: 'none', logger: silent });
    const svg = await view.toSVG();
    view.finalize();
    return `${svg}\n`;
  } catch (cause) {
    throw new MlitError('INTERNAL', `figure ${figure.id} cannot be drawn: ${(cause as Error).message}`, {
      fields: { figure: figure.id },
      cause,
    });
  } finally {
    metrics.width = width;
  }
}
