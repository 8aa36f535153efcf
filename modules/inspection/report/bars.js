// Horizontal bars: memory planned and measured, what ranks sent, copies of a token, the timer tree, and kernels.

// Where there is room names stand to the left of their bars, else above them.
const kBar = {height: 20, gap: 8, above: 14, label: 150, kernel: 210, value: 150};

function bars_svg(card, rows, label, left = kBar.label) {
  const width = Math.max(260, card.body.clientWidth), narrow = width < 560;
  const frame = {width, narrow, left: narrow ? 0 : left, right: narrow ? 96 : kBar.value};
  frame.row = kBar.height + kBar.gap + (narrow ? kBar.above : 0);
  frame.svg = svg('svg', {width, height: rows * frame.row + 4, role: 'img', 'aria-label': label});
  card.body.replaceChildren(frame.svg);
  return frame;
}

// A text cut to so many pixels, about.
function cut_text(text, pixels) {
  const most = Math.floor(pixels / 7.2);
  return text.length <= most ? text : text.slice(0, most - 1) + '…';
}

// A bar of segments [{from, to, colour, tip}] with texts around it.
function draw_bar(frame, row, {label, segments, value, depth = 0, data}) {
  const top = row * frame.row + 2, y = frame.narrow ? top + kBar.above : top, indent = 12 * depth, group = svg('g', {class: 'bar', ...data});
  group.append(svg('text', {class: 'name', x: indent, y: top + (frame.narrow ? 9 : 14)}, cut_text(label, (frame.narrow ? frame.width : frame.left) - indent - 8)));
  for (const segment of segments) {
    const width = Math.max(0, segment.to - segment.from);
    group.append(svg('rect', {x: segment.from, y, width: width > 2 ? width - 1 : width, height: kBar.height, rx: 2, style: `--colour: ${segment.colour}`,
      'data-series': segment.name, onpointermove: (event) => show_tooltip(segment.tip(), event), onpointerleave: () => show_tooltip(null)}));
  }
  const end = segments.reduce((most, s) => Math.max(most, s.to), frame.left);
  group.append(svg('text', {class: 'value', x: end + 8, y: y + 14}, value));
  frame.svg.append(group);
}

const tip_rows = (title, rows) => [html('div', {class: 'place'}, title), html('table', {}, ...rows.map(([label, text]) =>
  html('tr', {'data-series': label}, html('td', {}, label), html('td', {class: 'value'}, text))))];

// What a rank was planned to need, by purpose, over what it had resident at most.
const kMemoryParts = ['started', 'weights', 'gradients', 'optimizer', 'activations', 'communication', 'workspace', 'products'];
const kMemoryLabels = {started: 'program and libraries', products: 'packed operands'};

function memory_parts(run) {
  const sizes = {started: run.memory.started ?? 0, ...run.memory.plan};
  return kMemoryParts.filter((part) => sizes[part] > 0).map((part) => ({part, label: kMemoryLabels[part] ?? part, bytes: sizes[part]}));
}

function draw_memory(card) {
  const runs = shown_runs().filter((run) => run.memory?.plan);
  const total = (run) => memory_parts(run).reduce((sum, p) => sum + p.bytes, 0);
  const most = Math.max(1, ...runs.map((run) => Math.max(total(run), run.memory.peak ?? 0)));
  const frame = bars_svg(card, 2 * runs.length, 'memory of a rank, planned and measured');
  const x = scale_of([0, most], [frame.left, frame.width - frame.right]);
  const colour = (part) => `var(--m${kMemoryParts.indexOf(part)})`;
  runs.forEach((run, i) => {
    let sum = 0;
    const segments = memory_parts(run).map(({part, label, bytes}) => {
      const from = x(sum);
      sum += bytes;
      return {name: part, from, to: x(sum), colour: colour(part),
        tip: () => tip_rows(label, [['planned', bytes_text(bytes)], ['of all', percent(bytes / total(run))], ['bytes', grouped(bytes)]])};
    });
    const prefix = runs.length > 1 ? `${run.name} ` : '';
    draw_bar(frame, 2 * i, {label: `${prefix}planned`, segments, value: bytes_text(sum), data: {'data-run': run.index, 'data-kind': 'plan'}});
    const peak = run.memory.peak;
    if (!peak) return;
    const difference = peak / sum - 1;
    draw_bar(frame, 2 * i + 1, {label: `${prefix}measured`, value: `${bytes_text(peak)}${frame.narrow ? '' : ` (${difference < 0 ? '−' : '+'}${percent(Math.abs(difference), 2)})`}`,
      segments: [{name: 'peak', from: x(0), to: x(peak), colour: kRuns.length > 1 ? run.colour : 'var(--muted)',
        tip: () => tip_rows('resident at most', [['measured', bytes_text(peak)], ['against the plan', percent(peak / sum)], ['bytes', grouped(peak)]])}],
      data: {'data-run': run.index, 'data-kind': 'measured'}});
  });
  const used = new Set(runs.flatMap((run) => memory_parts(run).map((p) => p.part)));
  card.legend.replaceChildren(...kMemoryParts.filter((part) => used.has(part)).map((part) =>
    html('span', {class: 'key'}, swatch(colour(part), 'block'), kMemoryLabels[part] ?? part)));
}

// What a rank sent in a step, by kind: near and far, mean of the ranks.
const kSentWays = [['inside', 'to ranks of its node', 'var(--c0)'], ['across', 'to other nodes', 'var(--c1)']];

function draw_sent(card) {
  const runs = shown_runs().filter((run) => run.profile?.sent?.length > 0);
  const names = [...new Set(runs.flatMap((run) => run.profile.sent.map((kind) => kind.name)))];
  const most = Math.max(1, ...runs.flatMap((run) => run.profile.sent.map((kind) => kind.inside + kind.across)));
  const frame = bars_svg(card, names.length * runs.length, 'bytes that a rank sent in a step');
  const x = scale_of([0, most], [frame.left, frame.width - frame.right]);
  names.forEach((name, n) => runs.forEach((run, i) => {
    const kind = run.profile.sent.find((k) => k.name === name);
    if (!kind) return;
    const label = name.replace(/_/g, ' '), sum = kind.inside + kind.across, planned = run.sent_plan?.[name];
    const tip = () => tip_rows(kRuns.length > 1 ? `${run.name}: ${label}` : label, [...kSentWays.map(([way, text]) => [text, bytes_text(kind[way])]),
      ['sent', grouped(Math.round(sum))], ...planned === undefined ? [] : [['planned', grouped(Math.round(planned))]], ['of the rank that sent most', bytes_text(kind.most)]]);
    let from = 0;
    const segments = kSentWays.map(([way, , colour]) => {
      const start = from;
      from += kind[way];
      return {name: way, from: x(start), to: x(from), colour, tip};
    });
    const prefix = runs.length > 1 ? `${run.name} ` : '';
    draw_bar(frame, n * runs.length + i, {label: prefix + label, segments, value: bytes_text(sum), data: {'data-run': run.index, 'data-series': name}});
  }));
  card.legend.replaceChildren(...kSentWays.map(([, text, colour]) => html('span', {class: 'key'}, swatch(colour, 'block'), text)));
}

// In how many copies a token went to the experts of a layer: planned with even experts, and counted.
function draw_copies(card) {
  const runs = shown_runs().filter((run) => run.profile?.copies);
  const bars = runs.flatMap((run) => [['planned', run.copies_plan], ['counted', run.profile.copies]].filter(([, copies]) => copies).map(([kind, copies]) => ({run, kind, copies})));
  const most = Math.max(1e-9, ...bars.map(({copies}) => copies.inside + copies.across));
  const frame = bars_svg(card, bars.length, 'copies of a token in a layer');
  const x = scale_of([0, most], [frame.left, frame.width - frame.right]);
  bars.forEach(({run, kind, copies}, i) => {
    const label = runs.length > 1 ? `${run.name} ${kind}` : kind;
    const tip = () => tip_rows(label, [...kSentWays.map(([way, text]) => [text, copies[way].toFixed(4)]),
      ...copies.tokens === undefined ? [] : [['tokens in a step, over layers', grouped(Math.round(copies.tokens))]]]);
    let from = 0;
    const segments = kSentWays.map(([way, , colour]) => {
      const start = from;
      from += copies[way];
      return {name: way, from: x(start), to: x(from), colour, tip};
    });
    draw_bar(frame, i, {label, segments, value: from.toFixed(2), data: {'data-run': run.index, 'data-kind': kind}});
  });
  card.legend.replaceChildren(...kSentWays.map(([, text, colour]) => html('span', {class: 'key'}, swatch(colour, 'block'), text)));
}

// The timer tree of the newest start of each run: slowest rank, share of the run's time.
function draw_timers(card) {
  const runs = shown_runs().filter((run) => run.profile);
  const names = [...new Set(runs.flatMap((run) => run.profile.parts.map((p) => p.name)))];
  const part_of = (run, name) => run.profile.parts.find((p) => p.name === name);
  const most = Math.max(1e-9, ...runs.flatMap((run) => run.profile.parts.map((p) => p.slowest)));
  const frame = bars_svg(card, names.length * runs.length, 'time of each part of a run');
  const x = scale_of([0, most], [frame.left, frame.width - frame.right]);
  names.forEach((name, n) => runs.forEach((run, i) => {
    const part = part_of(run, name), depth = name.split('/').length - 1;
    if (!part) return;
    const share = part.slowest / Math.max(run.profile.seconds, 1e-9);
    const tip = () => tip_rows(kRuns.length > 1 ? `${run.name}: ${name}` : name, [['slowest rank', duration(part.slowest)], ['mean of ranks', duration(part.mean)],
      ['of the run', percent(share)], ['calls', grouped(part.calls)], ['a call', duration(part.slowest / Math.max(part.calls, 1))]]);
    draw_bar(frame, n * runs.length + i, {label: i === 0 ? name.split('/').pop() : '', depth, data: {'data-run': run.index, 'data-series': name},
      segments: [{name, from: x(0), to: x(part.slowest), colour: kRuns.length > 1 ? run.colour : depth ? 'var(--c0)' : 'var(--muted)', tip}],
      value: bar_time(frame, part.slowest, share)});
  }));
  runs_legend(card, runs);
}

const bar_time = (frame, seconds, share) => frame.narrow ? percent(share) : `${duration(seconds)}  ${percent(share)}`;
const runs_legend = (card, runs) => card.legend.replaceChildren(...kRuns.length > 1 ? runs.map((run) => html('span', {class: 'key'}, swatch(run.colour, 'block'), run.name)) : []);

const kMostKernels = 16;

// The kernels of rank 0 that took longest, and what all others took.
function draw_kernels(card) {
  const runs = shown_runs().filter((run) => run.profile?.kernels.length > 0);
  const totals = new Map();
  for (const run of runs) for (const k of run.profile.kernels) totals.set(k.name, (totals.get(k.name) ?? 0) + k.seconds);
  const names = [...totals.keys()].sort((a, b) => totals.get(b) - totals.get(a)).slice(0, kMostKernels);
  const rest = (run) => run.profile.kernels.filter((k) => !names.includes(k.name)).reduce((sum, k) => ({calls: sum.calls + k.calls, seconds: sum.seconds + k.seconds}), {calls: 0, seconds: 0});
  const rows = names.map((name) => ({label: name.replace(/^moray::/, ''), name, of: (run) => run.profile.kernels.find((k) => k.name === name)}));
  if (totals.size > names.length) rows.push({label: `${totals.size - names.length} others`, name: 'others', of: rest});
  const most = Math.max(1e-9, ...rows.flatMap((row) => runs.map((run) => row.of(run)?.seconds ?? 0)));
  const frame = bars_svg(card, rows.length * runs.length, 'time of each kernel', kBar.kernel);
  const x = scale_of([0, most], [frame.left, frame.width - frame.right]);
  rows.forEach((row, n) => runs.forEach((run, i) => {
    const kernel = row.of(run);
    if (!kernel) return;
    const share = kernel.seconds / Math.max(run.profile.seconds, 1e-9);
    const tip = () => tip_rows(kRuns.length > 1 ? `${run.name}: ${row.label}` : row.label, [['time', duration(kernel.seconds)], ['of the run', percent(share)],
      ['calls', grouped(kernel.calls)], ['a call', duration(kernel.seconds / Math.max(kernel.calls, 1))]]);
    draw_bar(frame, n * runs.length + i, {label: i === 0 ? row.label : '', data: {'data-run': run.index, 'data-series': row.name}, value: bar_time(frame, kernel.seconds, share),
      segments: [{name: row.name, from: x(0), to: x(kernel.seconds), colour: kRuns.length > 1 ? run.colour : row.name === 'others' ? 'var(--muted)' : 'var(--c0)', tip}]});
  }));
  runs_legend(card, runs);
}
