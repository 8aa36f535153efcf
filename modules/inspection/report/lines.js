// Charts of lines: noisy lines get a smoothed one on top, bucketed ones the envelope of their bucket.

const kLineHeight = 250;
const kManyLines = 12;  // above, a legend and a tooltip of all lines would be too long

// What a chart draws: [{run, label, colour, grid, xs, mean, low, high, marks, noisy, spread}]
function lines_of(card) {
  const {chart} = card, lines = [];
  for (const run of chart.one_run ? [card.run()] : shown_runs()) {
    const found = chart.lines ? chart.lines(run, card) : chart.series.map((s, i) => {
      const line = series_line(run, s.name);
      return line && {...line, ...s, number: i};
    }).filter(Boolean);
    for (const line of found) {
      const several_runs = kRuns.length > 1 && !chart.one_run;
      line.colour = several_runs ? run.colour : line.colour ?? `var(--c${line.number % kColours})`;
      line.label = several_runs ? (found.length > 1 ? `${run.name} · ${line.label}` : run.name) : line.label;
      line.smooth = line.noisy && view.smoothing > 0 ? smoothed(line.mean, view.smoothing) : null;
      lines.push(line);
    }
  }
  return lines;
}

// [from, to] of the values between the ends of the horizontal axis, with some air. In focus the
// twentieth of the values at either end of their range may lie outside.
function vertical_extent(lines, log, zero, focus) {
  const [from, to] = horizontal_extent();
  const values = [];
  for (const line of lines) {
    line.xs.forEach((x, i) => {
      if (x < from || x > to) return;
      for (const value of [line.mean[i], line.low?.[i], line.high?.[i]]) {
        if (value === null || value === undefined || (log && value <= 0)) continue;
        values.push(value);
      }
    });
  }
  values.sort((a, b) => a - b);
  const cut = focus ? Math.floor(values.length / 20) : 0;
  let low = values[cut], high = values[values.length - 1 - cut];
  if (values.length === 0) return log ? [0.1, 1] : [0, 1];
  if (zero && !log) low = Math.min(low, 0);
  if (log) return low === high ? [low / 2, high * 2] : [low * (low / high) ** 0.04, high * (high / low) ** 0.04];
  const air = high > low ? 0.05 * (high - low) : Math.abs(high) * 0.1 || 1;
  return [zero && low === 0 ? 0 : low - air, high + air];
}

function draw_line(plot, line, faint) {
  const xs = line.xs.map(plot.x), at = (values) => values.map(plot.y);
  const data = {'data-run': line.run.index, 'data-series': line.name ?? line.label, 'data-points': line.mean.filter((v) => v !== null).length};
  const style = `--colour: ${line.colour}`;
  if (line.low) plot.area.append(svg('path', {class: 'envelope', style, d: path_between(xs, at(line.low), at(line.high))}));
  plot.area.append(svg('path', {class: `line ${line.smooth ? 'raw' : ''} ${faint ? 'faint' : ''} ${line.dashed ? 'dashed' : ''}`, style, ...data,
    d: path_through(xs, at(line.mean))}));
  if (line.smooth) plot.area.append(svg('path', {class: 'line', style, d: path_through(xs, at(line.smooth))}));
  if (line.marks && xs.length <= 100)
    xs.forEach((x, i) => line.mean[i] !== null && plot.area.append(svg('circle', {class: 'mark', style, cx: x, cy: plot.y(line.mean[i]), r: 3})));
}

// The value of a line at an index, as people read it.
function value_text(line, i, digits = 5) {
  const value = line.mean[i];
  const text = (v) => v === null ? kNothing : line.decimals !== undefined ? v.toFixed(line.decimals) :
    Math.abs(v) >= 1e4 ? prefixed(v, digits) : significant(v, digits);
  const spread = line.low && line.low[i] !== line.high[i];
  return spread ? `${text(value)} (${text(line.low[i])} to ${text(line.high[i])})` : text(value);
}

// What stands in the legend: the value at the crosshair, else the last one.
function fill_legend(card, lines, indices) {
  if (lines.length > kManyLines) return;
  card.legend.replaceChildren(...lines.map((line, k) => {
    let i = indices?.[k] ?? -1;
    if (!indices) for (i = line.mean.length - 1; i > 0 && line.mean[i] === null; --i);
    return html('span', {class: 'key'}, swatch(line.colour, line.marks ? 'ring' : line.dashed ? 'dash' : ''), line.label,
      html('b', {}, i >= 0 && line.mean.length > 0 ? value_text({...line, low: null}, i, 4) : kNothing));
  }));
}

function draw_lines(card) {
  const {chart} = card, lines = lines_of(card);
  const plot = make_plot(card, chart.height ?? kLineHeight, `${chart.title}, ${chart.unit}, by ${kHorizontal[view.x].title}`);
  const log = card.state.log ?? false;
  const extent = vertical_extent(lines, log, chart.zero && !card.state.focus, card.state.focus);
  plot.y = scale_of(extent, [plot.height - kMargin.bottom, kMargin.top], log);
  const rows = (plot.height - kMargin.top - kMargin.bottom) / 42;
  const ticks = log ? log_ticks(...extent, rows) : linear_ticks(...extent, rows);
  draw_vertical_axis(plot, ticks, (v) => tick_text(v, ticks.step, log ? undefined : extent[1]));
  const many = lines.length > kManyLines;
  for (const line of lines) draw_line(plot, line, many);
  fill_legend(card, lines, null);
  plot.on_hover = (x, y, pointer) => hover_lines(plot, lines, x, y, pointer, many);
}

function hover_lines(plot, lines, x, y, pointer, many) {
  if (x === null) {
    fill_legend(plot.card, lines, null);
    return null;
  }
  const indices = lines.map((line) => nearest_index(line.xs, x));
  const distance = (k) => Math.abs(plot.y(lines[k].mean[indices[k]]) - y);
  const known = lines.map((_, k) => k).filter((k) => indices[k] >= 0 && lines[k].mean[indices[k]] !== null);
  const shown = many ? (pointer ? known.sort((a, b) => distance(a) - distance(b)).slice(0, 1) : []) : known;
  for (const k of shown) {
    const line = lines[k], value = line.mean[indices[k]];
    if (many) plot.cross.append(svg('path', {class: 'line', style: `--colour: ${line.colour}`, d: path_through(line.xs.map(plot.x), line.mean.map(plot.y))}));
    plot.cross.append(svg('circle', {class: 'dot', style: `--colour: ${line.colour}`, r: 4, cx: plot.x(line.xs[indices[k]]), cy: plot.y(value)}));
  }
  fill_legend(plot.card, lines, indices);
  if (!pointer || shown.length === 0) return null;
  return tooltip_of_lines(plot.card.chart, shown.map((k) => [lines[k], indices[k]]));
}

// One table for each place: sparse series are named at their own step.
function tooltip_of_lines(chart, values) {
  const places = new Map();
  for (const [line, i] of values) {
    const place = place_text(line.run, line.grid, i);
    places.set(place, [...places.get(place) ?? [], html('tr', {'data-run': line.run.index, 'data-series': line.name ?? line.label},
      html('td', {}, swatch(line.colour, line.marks ? 'ring' : ''), line.label), html('td', {class: 'value'}, value_text(line, i)))]);
  }
  const unit = chart.unit && chart.unit !== '1' ? html('div', {class: 'unit'}, chart.unit) : null;
  return [...[...places].flatMap(([place, rows]) => [html('div', {class: 'place'}, place), html('table', {}, ...rows)]), unit].filter(Boolean);
}
