// Heat maps over steps: the load of each expert relative to an even share. Drawn as one small image a
// layer, a pixel an expert high, which the browser stretches without smoothing.

const kMostRows = 192;   // of experts on one map; above, a layer is one row, its busiest expert
const kMostLoad = 2;     // times the even share: the end of the colours, whose middle is 1
const kMostBusiest = 5;  // the same for the busiest expert of a layer, of which half the colours are used
const kPalettes = {
  light: [[5, 69, 138], [102, 169, 214], [244, 243, 238], [250, 170, 96], [168, 50, 6]],
  dark: [[120, 196, 255], [38, 104, 164], [29, 34, 44], [178, 86, 26], [255, 186, 110]],
};

// Where a load is on the colours.
const load_part = (load, busiest) => busiest ? 0.5 + 0.5 * (load - 1) / (kMostBusiest - 1) : load / kMostLoad;

// Colour of a value in [0, 1] on the palette of the theme.
function palette_colour(part) {
  const stops = kPalettes[is_dark() ? 'dark' : 'light'];
  const place = Math.min(Math.max(part, 0), 1) * (stops.length - 1), i = Math.min(Math.floor(place), stops.length - 2);
  return stops[i].map((low, c) => Math.round(low + (stops[i + 1][c] - low) * (place - i)));
}

// Rows of the map: [{name, group, value(bucket)}], and how they are grouped.
function heat_rows(run, map, layer) {
  const {layers, experts} = map, values = map_values(map);
  const at = (bucket, l, e) => values[(bucket * layers + l) * experts + e];
  const expert_rows = (l) => Array.from({length: experts}, (_, e) => ({layer: l, expert: e, value: (b) => at(b, l, e)}));
  if (layer !== null) return [{label: layer_name(run, layer), rows: expert_rows(layer)}];
  if (layers * experts <= kMostRows)
    return Array.from({length: layers}, (_, l) => ({label: layer_name(run, l), rows: expert_rows(l)}));
  const busiest = (l) => (b) => Math.max(...Array.from({length: experts}, (_, e) => at(b, l, e)));
  return [{label: 'layers', rows: Array.from({length: layers}, (_, l) => ({layer: l, expert: null, value: busiest(l)}))}];
}

// A picture of rows, a pixel a column wide: the bucket that covers each column of the plot.
function heat_image(plot, rows, xs) {
  const width = Math.max(1, Math.round(plot.width - kMargin.left - kMargin.right));
  const canvas = html('canvas', {width, height: rows.length}), pen = canvas.getContext('2d');
  const image = pen.createImageData(width, rows.length);
  let bucket = 0;
  for (let column = 0; column < width; ++column) {
    const x = plot.x.inverse(kMargin.left + column + 0.5);
    while (bucket < xs.length && xs[bucket] < x) ++bucket;
    if (bucket === xs.length) break;
    rows.forEach((row, r) => {
      const value = row.value(bucket);
      if (Number.isNaN(value)) return;
      image.data.set([...palette_colour(load_part(value, row.expert === null)), 255], 4 * (r * width + column));
    });
  }
  pen.putImageData(image, 0, 0);
  return canvas.toDataURL();
}

function draw_heat(card) {
  const run = card.run(), map = run.maps?.loads;
  const groups = heat_rows(run, map, card.state.layer ?? null), xs = grid_xs(run, 'maps');
  const rows = groups.reduce((sum, group) => sum + group.rows.length, 0), gap = 6;
  const row_height = Math.min(14, Math.max(2, Math.floor(300 / rows)));
  const plot = make_plot(card, kMargin.top + kMargin.bottom + rows * row_height + gap * (groups.length - 1), `${card.chart.title} by ${view.x}`);
  const width = plot.width - kMargin.left - kMargin.right, labels = svg('g', {class: 'axis'});
  let top = kMargin.top;
  for (const group of groups) {
    const height = group.rows.length * row_height;
    group.top = top;
    plot.area.append(svg('image', {x: kMargin.left, y: top, width, height, preserveAspectRatio: 'none', class: 'heat',
      'data-rows': group.rows.length, 'data-columns': xs.length, href: heat_image(plot, group.rows, xs)}));
    labels.append(svg('text', {x: kMargin.left - 8, y: top + height / 2 + 4, 'text-anchor': 'end'}, group.label));
    top += height + gap;
  }
  plot.svg.prepend(labels);
  heat_legend(card, groups[0].rows[0].expert === null);
  plot.on_hover = (x, y, pointer) => hover_heat(plot, run, map, groups, row_height, x, y, pointer);
}

function hover_heat(plot, run, map, groups, row_height, x, y, pointer) {
  if (x === null || !pointer) return null;
  const group = groups.find((g) => y >= g.top && y < g.top + g.rows.length * row_height);
  const xs = grid_xs(run, 'maps'), bucket = xs.findIndex((end) => end >= x);
  if (!group || bucket < 0) return null;
  const r = Math.floor((y - group.top) / row_height), row = group.rows[r], value = row.value(bucket);
  plot.cross.append(svg('rect', {class: 'cell', x: kMargin.left, width: plot.width - kMargin.left - kMargin.right, y: group.top + r * row_height, height: row_height}));
  const mean = map.mean_load[bucket * map.layers + row.layer], name = layer_name(run, row.layer);
  const tokens = (n) => Number(n.toFixed(1)).toLocaleString('en-US');
  const line = (label, text, series) => html('tr', {'data-series': series}, html('td', {}, label), html('td', {class: 'value'}, text));
  return [html('div', {class: 'place'}, place_text(run, 'maps', bucket)), html('table', {},
    line(row.expert === null ? `${name}, busiest expert` : `${name}, expert ${row.expert}`, `${value.toFixed(map_decimals(map))} × even share`, 'ratio'),
    line('tokens a step', `${tokens(value * mean)} of ${tokens(mean)} on average`, 'load'))];
}

// The colours, with the values that they stand for.
function heat_legend(card, busiest) {
  const most = busiest ? kMostBusiest : kMostLoad, least = busiest ? 1 : 0;
  const stops = [0, 0.25, 0.5, 0.75, 1].map((part) => `rgb(${palette_colour(load_part(least + part * (most - least), busiest)).join(' ')}) ${100 * part}%`);
  card.legend.replaceChildren(html('span', {class: 'key'}, busiest ? 'busiest expert: even share' : 'unused'),
    html('span', {class: 'ramp', style: `background: linear-gradient(90deg, ${stops.join(', ')})`}),
    html('span', {class: 'key'}, `${most} × even share and more`));
}
