// What the browser test adds at the end of a page: uses it as a person would and leaves what it saw,
// as JSON, in the element #probe. It may use what the page's own script declares.
"use strict";
const kSeen = {errors: window.probe_errors};

// Relative luminance and contrast (WCAG 2).
function luminance(colour) {
  const parts = colour.match(/[\d.]+/g).slice(0, 3).map((v) => Number(v) / 255)
    .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
}
function contrast(a, b) {
  const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (high + 0.05) / (low + 0.05);
}

function look() {
  if (kCards.length === 0) return null;
  const style = (query, property) => getComputedStyle(document.querySelector(query))[property];
  const card = style('.card', 'backgroundColor');
  return {
    page: style('body', 'backgroundColor'),
    text: contrast(style('h3', 'color'), card),
    axis: contrast(style('.axis text', 'fill'), card),
    line: contrast(style('.line', 'stroke'), card),
    heat: document.querySelector('.heat')?.getAttribute('href').length ?? 0,
  };
}

function charts() {
  return Object.fromEntries(kCards.map((card) => [card.chart.id, {
    title: card.section.querySelector('h3').textContent,
    lines: [...card.body.querySelectorAll('path[data-series]')].map((path) => ({
      run: Number(path.dataset.run), series: path.dataset.series, points: Number(path.dataset.points),
      drawn: (path.getAttribute('d').match(/[ML]/g) ?? []).length, finite: !/NaN|Infinity/.test(path.getAttribute('d'))})),
    images: [...card.body.querySelectorAll('image')].map((image) => ({rows: Number(image.dataset.rows), columns: Number(image.dataset.columns),
      png: image.getAttribute('href').startsWith('data:image/png;base64,')})),
    bars: [...card.body.querySelectorAll('.bar')].map((bar) => ({run: Number(bar.dataset.run), series: bar.dataset.series ?? bar.dataset.kind,
      width: [...bar.querySelectorAll('rect')].reduce((sum, r) => sum + Number(r.getAttribute('width')), 0)})),
  }]));
}

// Texts that leave their card, and neighbours on the horizontal axis that touch.
function misplaced() {
  const wrong = [];
  for (const card of kCards) {
    const box = card.section.getBoundingClientRect();
    let before = null;
    for (const text of card.body.querySelectorAll('text')) {
      const t = text.getBoundingClientRect();
      if (t.left < box.left || t.right > box.right + 0.5) wrong.push(`${card.chart.id}: '${text.textContent}' leaves its card`);
      if (before && text.getAttribute('text-anchor') === 'middle' && before.getAttribute('text-anchor') === 'middle' &&
        before.getBoundingClientRect().right > t.left && Math.abs(before.getBoundingClientRect().top - t.top) < 2)
        wrong.push(`${card.chart.id}: '${before.textContent}' touches '${text.textContent}'`);
      before = text;
    }
  }
  for (const bar of document.querySelectorAll('.bar')) {
    const name = bar.querySelector('.name').getBoundingClientRect(), rect = bar.querySelector('rect').getBoundingClientRect();
    if (name.right > rect.left && name.bottom > rect.top + 3) wrong.push(`'${bar.textContent}' lies under its bar`);
  }
  if (document.documentElement.scrollWidth > window.innerWidth) wrong.push(`the page is ${document.documentElement.scrollWidth} wide`);
  return wrong;
}

function tooltip_rows() {
  const tooltip = document.getElementById('tooltip');
  if (tooltip.hidden) return null;
  return {places: [...tooltip.querySelectorAll('.place')].map((p) => p.textContent),
    rows: [...tooltip.querySelectorAll('tr')].map((row) => ({run: Number(row.dataset.run), series: row.dataset.series, value: row.querySelector('.value').textContent}))};
}

const plot_of = (id) => [...kPlots].find((plot) => plot.card.chart.id === id);
function point_at(target, x, y, type = 'pointermove') {
  target.dispatchEvent(new PointerEvent(type, {bubbles: true, clientX: x, clientY: y, button: 0}));
}

// The pointer over a chart at a step and at a part of its height.
function hover(id, step, part = 0.5) {
  const plot = plot_of(id), box = plot.svg.getBoundingClientRect();
  point_at(plot.svg, box.left + plot.x(step), box.top + part * box.height);
  const seen = {...tooltip_rows(), crosshairs: document.querySelectorAll('.crosshair[visibility="visible"]').length,
    legend: [...plot.card.legend.querySelectorAll('.key b')].map((b) => b.textContent)};
  point_at(plot.svg, 0, 0, 'pointerleave');
  seen.gone = document.getElementById('tooltip').hidden;
  return seen;
}

// The pointer over the row of an expert on the heat map.
function hover_expert(layer, expert, step) {
  const plot = plot_of('loads'), image = plot.svg.querySelectorAll('image')[layer].getBoundingClientRect(), box = plot.svg.getBoundingClientRect();
  const rows = Number(plot.svg.querySelectorAll('image')[layer].dataset.rows);
  point_at(plot.svg, box.left + plot.x(step) - 0.6, image.top + (expert + 0.5) * image.height / rows);
  return tooltip_rows();
}

// The pointer over the blocks of a tensor, by its row, that have a scale of at least 2^exponent.
function hover_scales(role, row, exponent) {
  const card = kCards.find((other) => other.chart.id === 'fp8_scales'), [from, to] = fp8_exponents(card.run().fp8.tensors);
  const image = card.body.querySelector(`image[data-role="${role}"]`), box = image.getBoundingClientRect();
  point_at(image.nextSibling, box.left + (exponent - from + 0.5) * box.width / (to - from), box.top + (row + 0.5) * box.height / image.dataset.rows);
  return tooltip_rows();
}

function hover_bar(query) {
  const bar = document.querySelector(query), box = bar.getBoundingClientRect();
  point_at(bar, box.left + box.width / 2, box.top + 2);
  return tooltip_rows();
}

// Every op of the timeline, what the pointer finds over one, and the same closer.
function timeline() {
  const chart = document.querySelector('#chart-timeline'), picture = () => chart.querySelector('svg.timeline');
  const ops = () => [...chart.querySelectorAll('.op')].map((op) => {
    const boxes = [...op.querySelectorAll('rect')].map((r) => ({x: Number(r.getAttribute('x')), width: Number(r.getAttribute('width')), fill: getComputedStyle(r).fill}));
    return {kind: op.dataset.kind, rank: Number(op.dataset.rank), op: op.dataset.op, boxes, numbers: [...op.querySelectorAll('text')].map((t) => t.textContent)};
  });
  const ticks = () => [...chart.querySelectorAll('.axis text')].map((t) => t.textContent);
  const seen = {ops: ops(), ticks: ticks(), groups: [...chart.querySelectorAll('.group')].map((g) => g.textContent), waits: [...chart.querySelectorAll('.waits')].map((w) => w.textContent)};
  const over = (query) => {
    const op = chart.querySelector(query), box = op.getBoundingClientRect();
    point_at(op.querySelector('rect'), box.left + box.width / 2, box.top + 2);
    return {op: op.dataset.op, ...tooltip_rows()};
  };
  seen.planned = over('.op[data-kind="planned"].pair');
  seen.measured = over('.op[data-kind="measured"].pair');
  const box = picture().getBoundingClientRect();
  point_at(picture(), box.left + 0.4 * box.width, box.top + 50, 'pointerdown');
  point_at(picture(), box.left + 0.6 * box.width, box.top + 50);
  point_at(picture(), box.left + 0.6 * box.width, box.top + 50, 'pointerup');
  seen.closer = {ops: ops(), ticks: ticks()};
  picture().dispatchEvent(new MouseEvent('dblclick', {bubbles: true}));
  seen.restored = ops().length;
  const choice = chart.querySelector('select');
  if (choice) {
    choice.selectedIndex = 1;
    choice.dispatchEvent(new Event('change'));
    seen.other = ops();
  }
  seen.phases = [...document.querySelectorAll('#chart-phases .bar')].map((bar) => ({name: bar.dataset.series,
    parts: [...bar.querySelectorAll('rect')].map((r) => [r.dataset.series, Number(r.getAttribute('width'))]), value: bar.querySelector('.value').textContent}));
  seen.waiting = hover_bar('#chart-phases [data-series="dispatch"] rect[data-series="waiting"]');
  return seen;
}

function drag(id, from, to) {
  const plot = plot_of(id), box = plot.svg.getBoundingClientRect(), x = (step) => box.left + plot.x(step);
  point_at(plot.svg, x(from), box.top + 50, 'pointerdown');
  point_at(plot.svg, x(to), box.top + 50);
  point_at(plot.svg, x(to), box.top + 50, 'pointerup');
}

const path_of = (id) => document.querySelector(`#chart-${id} path[data-series]`).getAttribute('d');
const press = (query) => document.querySelector(query).click();

try {
  kSeen.title = document.title;
  kSeen.head = document.getElementById('head').textContent;
  kSeen.preferred = look();
  kSeen.charts = charts();
  kSeen.misplaced = misplaced();
  const wanted = JSON.parse(document.getElementById('wanted').textContent);
  kSeen.hover = wanted.hover.map(([id, step]) => hover(id, step));
  kSeen.experts = wanted.experts.map(([layer, expert, step]) => hover_expert(layer, expert, step));
  kSeen.scales = (wanted.scales ?? []).map(([role, row, exponent]) => hover_scales(role, row, exponent));
  if (document.querySelector('#chart-memory')) {
    kSeen.memory = hover_bar('#chart-memory [data-kind="measured"] rect');
    kSeen.weights = hover_bar('#chart-memory rect[data-series="weights"]');
    kSeen.kernel = hover_bar('#chart-kernels .bar rect');
    kSeen.timer = hover_bar('#chart-timers [data-series="step/forward"] rect');
  }
  if (document.querySelector('#chart-copies'))
    kSeen.copies = Object.fromEntries([...document.querySelectorAll('#chart-copies .bar')].map((bar) =>
      [bar.dataset.kind, hover_bar(`#chart-copies [data-kind="${bar.dataset.kind}"] rect[data-series="across"]`)]));
  if (document.querySelector('#chart-sent'))
    kSeen.sent = Object.fromEntries([...document.querySelectorAll('#chart-sent .bar')].map((bar) =>
      [bar.dataset.series, hover_bar(`#chart-sent [data-series="${bar.dataset.series}"] rect[data-series="across"]`)]));
  if (document.querySelector('#chart-timeline')) kSeen.timeline = timeline();
  if (wanted.use) {
    press('#theme [data-key="dark"]');
    kSeen.dark = look();
    press('#theme [data-key="light"]');
    kSeen.light = look();
    press('#theme [data-key="auto"]');
    kSeen.auto = look();

    const whole = path_of('loss');
    drag('loss', 5, 15);
    kSeen.zoom = {range: view.zoom, changed: path_of('loss') !== whole, others: path_of('learning_rate'), button: !document.getElementById('zoom').hidden};
    press('#zoom');
    kSeen.restored = view.zoom === null && path_of('loss') === whole;
    press('#chart-loss .log');
    kSeen.log = path_of('loss') !== whole && !path_of('loss').includes('NaN');
    press('#chart-loss .log');
    press('#chart-loss .focus');
    kSeen.focus = path_of('loss') !== whole;
    press('#chart-loss .focus');
    press('[data-key="tokens"]');
    kSeen.tokens = document.querySelector('#chart-loss .title').textContent;
    press('[data-key="step"]');
    plot_of('loss').svg.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight'}));
    plot_of('loss').svg.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight'}));
    kSeen.keys = tooltip_rows();
    const box = document.querySelector('.runs input');
    if (box) {
      box.click();
      kSeen.one_hidden = charts();
      box.click();
    }
    kSeen.end = charts();
  }
} catch (error) {
  kSeen.errors.push(String(error.stack ?? error));
}
const probe = document.createElement('pre');
probe.id = 'probe';
probe.textContent = encodeURIComponent(JSON.stringify(kSeen));
document.body.append(probe);
