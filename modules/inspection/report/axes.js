// Scales, ticks and the frame of a chart over the horizontal axis that all share: crosshair, zoom,
// keys. A chart draws into plot.area and says in plot.on_hover what is at a place.

const kMargin = {left: 56, right: 14, top: 10, bottom: 34};
const kOver = 5;  // pixels that marks may lie over the edge of the plot
const kTimeSteps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400];
const kPlots = new Set();  // those on the page

function scale_of([from, to], [start, end], log = false) {
  const f = log ? Math.log10 : (v) => v;
  const a = f(from), b = f(to) === f(from) ? f(from) + 1 : f(to);
  const scale = (v) => v === null || (log && v <= 0) ? NaN : start + (f(v) - a) / (b - a) * (end - start);
  scale.inverse = (p) => {
    const v = a + (p - start) / (end - start) * (b - a);
    return log ? 10 ** v : v;
  };
  return scale;
}

function tick_step(from, to, count, steps) {
  const rough = (to - from) / Math.max(count, 1);
  if (steps && rough <= steps[steps.length - 1] && rough >= 1) return steps.find((s) => s >= rough);
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * [1, 2, 5, 10].find((m) => m * power >= 0.999 * rough);
}

function linear_ticks(from, to, count, steps) {
  if (!(to > from)) return [from];
  const step = tick_step(from, to, count, steps), ticks = [];
  for (let i = Math.ceil(from / step - 1e-9); i * step <= to + 1e-9 * step; ++i) ticks.push(i * step + 0);  // no -0
  ticks.step = step;
  return ticks;
}

// Powers of ten, with 2 and 5 times them where there is room.
function log_ticks(from, to, count) {
  const low = Math.floor(Math.log10(from)), high = Math.ceil(Math.log10(to));
  const factors = high - low <= 1 ? [1, 2, 3, 4, 5, 6, 7, 8, 9] : high - low <= 3 ? [1, 2, 5] : [1];
  const stride = Math.max(1, Math.ceil((high - low) / Math.max(count, 1)));
  const ticks = [];
  for (let e = low; e <= high; e += stride)
    for (const m of factors) if (m * 10 ** e >= from && m * 10 ** e <= to) ticks.push(m * 10 ** e);
  return ticks;
}

// One prefix for all ticks of an axis whose largest is `most`.
function tick_text(value, step, most = Math.abs(value)) {
  if (Math.abs(value) < 1e-12 * Math.abs(step ?? 1)) return '0';
  const size = Math.abs(value);
  const prefix = most < 1e4 ? null : kPrefixes.find(([unit]) => most >= unit);
  if (prefix) return Number((value / prefix[0]).toPrecision(5)) + kThin + prefix[1];
  if (size < 1e-3 && (most < 1e-3 || !step)) return Number(value.toPrecision(3)).toExponential().replace('e-', 'e−');
  const decimals = step ? Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) : 0;
  return step ? value.toFixed(Math.min(decimals, 6)) : String(Number(value.toPrecision(3)));
}

function horizontal_text(value, step) {
  if (view.x === 'seconds') return value === 0 ? '0' : duration(value).replace(/ 00\u2009(s|min|h)$/, '').replace(/\.0+(?=\u2009)/, '');
  if (view.x === 'step' && horizontal_extent()[1] < 1e5) return grouped(value);
  return tick_text(value, step, horizontal_extent()[1]);
}

function draw_horizontal_axis(plot) {
  const {width, height, x} = plot, [from, to] = horizontal_extent();
  const ticks = linear_ticks(from, to, Math.max(2, (width - kMargin.left) / 95), view.x === 'seconds' ? kTimeSteps : null);
  const base = height - kMargin.bottom, group = svg('g', {class: 'axis'});
  for (const tick of ticks) {
    if (view.x === 'step' && !Number.isInteger(tick)) continue;
    group.append(svg('line', {x1: x(tick), x2: x(tick), y1: base, y2: base + 4}),
      svg('text', {x: x(tick), y: base + 16, 'text-anchor': 'middle'}, horizontal_text(tick, ticks.step)));
  }
  group.append(svg('line', {class: 'base', x1: kMargin.left, x2: width - kMargin.right, y1: base, y2: base}),
    svg('text', {class: 'title', x: width - kMargin.right, y: height - 3, 'text-anchor': 'end'}, kHorizontal[view.x].title));
  plot.svg.append(group);
}

function draw_vertical_axis(plot, ticks, text) {
  const group = svg('g', {class: 'axis'});
  for (const tick of ticks) {
    const y = plot.y(tick);
    group.append(svg('line', {class: 'grid', x1: kMargin.left, x2: plot.width - kMargin.right, y1: y, y2: y}),
      svg('text', {x: kMargin.left - 8, y: y + 4, 'text-anchor': 'end'}, text(tick)));
  }
  plot.svg.prepend(group);
}

// The frame: an svg as wide as the card, with x set. Calls on_hover(x, y, pointer) with the place in
// x units and y pixels; pointer is false in charts that follow another one's crosshair. It returns the
// tooltip, or null.
function make_plot(card, height, label) {
  const width = Math.max(260, card.body.clientWidth);
  const plot = {card, width, height, on_hover: () => null};
  plot.svg = svg('svg', {width, height, viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': label, tabindex: 0});
  plot.x = scale_of(horizontal_extent(), [kMargin.left, width - kMargin.right]);
  const clip = fresh_id('clip');
  plot.area = svg('g', {'clip-path': `url(#${clip})`});
  plot.cross = svg('g', {class: 'cross'});
  plot.line = svg('line', {y1: kMargin.top, y2: height - kMargin.bottom, class: 'crosshair', visibility: 'hidden'});
  plot.brush = svg('rect', {class: 'brush', y: kMargin.top, height: height - kMargin.top - kMargin.bottom, visibility: 'hidden'});
  plot.svg.append(svg('clipPath', {id: clip}, svg('rect', {x: kMargin.left - kOver, y: 0,
    width: width - kMargin.left - kMargin.right + 2 * kOver, height: height - kMargin.bottom + kOver})), plot.area, plot.line, plot.cross, plot.brush);
  draw_horizontal_axis(plot);
  listen(plot);
  card.body.replaceChildren(plot.svg);
  for (const old of [...kPlots]) if (old.card === card) kPlots.delete(old);
  kPlots.add(plot);
  return plot;
}

// Puts the crosshair of every chart at x; null takes it away. `owner` shows the tooltip.
function show_crosshair(x, owner, y, place) {
  for (const plot of kPlots) {
    plot.cross.replaceChildren();
    const at = x === null ? NaN : plot.x(x);
    const inside = at >= kMargin.left - 1 && at <= plot.width - kMargin.right + 1;
    plot.line.setAttribute('visibility', inside ? 'visible' : 'hidden');
    if (inside) {
      plot.line.setAttribute('x1', at);
      plot.line.setAttribute('x2', at);
    }
    const tip = plot.on_hover(inside ? x : null, y, plot === owner);
    if (plot === owner) show_tooltip(inside ? tip : null, place);
  }
  if (x === null) show_tooltip(null);
}

function listen(plot) {
  let from = null;  // where a drag began, in pixels
  const place = (event) => {
    const box = plot.svg.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const within = (px) => Math.min(Math.max(px, kMargin.left), plot.width - kMargin.right);
  plot.svg.addEventListener('pointermove', (event) => {
    const [px, py] = place(event);
    if (from !== null && Math.abs(px - from) > 3) {
      const [a, b] = [within(Math.min(from, px)), within(Math.max(from, px))];
      plot.brush.setAttribute('x', a);
      plot.brush.setAttribute('width', b - a);
      plot.brush.setAttribute('visibility', 'visible');
    }
    show_crosshair(plot.x.inverse(within(px)), plot, py, event);
  });
  plot.svg.addEventListener('pointerleave', () => show_crosshair(null));
  plot.svg.addEventListener('pointerdown', (event) => {
    if (event.button === 0) from = place(event)[0];
  });
  plot.svg.addEventListener('pointerup', (event) => {
    const start = from, [px] = place(event);
    from = null;
    plot.brush.setAttribute('visibility', 'hidden');
    if (start === null || Math.abs(px - start) < 8) return;
    set_zoom([plot.x.inverse(within(Math.min(start, px))), plot.x.inverse(within(Math.max(start, px)))]);
  });
  plot.svg.addEventListener('dblclick', () => set_zoom(null));
  plot.svg.addEventListener('keydown', (event) => {
    const step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
    if (event.key === 'Escape') show_crosshair(null);
    if (!step) return;
    event.preventDefault();
    move_by_key(plot, event.shiftKey ? 10 * step : step);
  });
}

// The arrow keys go from row to row of the first run.
function move_by_key(plot, step) {
  const xs = grid_xs(shown_runs()[0] ?? kRuns[0], 'rows');
  if (xs.length === 0) return;
  const now = plot.line.getAttribute('visibility') === 'visible' ? nearest_index(xs, plot.x.inverse(Number(plot.line.getAttribute('x1')))) : -step;
  const x = xs[Math.min(Math.max(now + step, 0), xs.length - 1)];
  const box = plot.svg.getBoundingClientRect(), y = plot.height / 3;
  show_crosshair(x, plot, y, {clientX: box.left + plot.x(x), clientY: box.top + y});
}

function show_tooltip(content, place) {
  const tooltip = document.getElementById('tooltip');
  tooltip.hidden = !content;
  if (!content) return;
  tooltip.replaceChildren(...content);
  const box = tooltip.getBoundingClientRect(), gap = 16;
  const right = place.clientX + gap + box.width < document.documentElement.clientWidth;
  tooltip.style.left = `${Math.max(4, right ? place.clientX + gap : place.clientX - gap - box.width)}px`;
  tooltip.style.top = `${Math.max(4, Math.min(place.clientY - box.height / 2, window.innerHeight - box.height - 4))}px`;
}

// A line of a tooltip or legend.
const swatch = (colour, kind) => html('i', {class: `swatch ${kind ?? ''}`, style: `--colour: ${colour}`});
