// The timeline of a step: ranks as rows, time to the right, what was planned above what ran, to one
// scale. Each chart of a timeline has its own zoom, card.state.from and card.state.to, in microseconds.

const kRowOfRank = {height: 24, gap: 3, title: 26, axis: 24, digit: 6.4};
const kPasses = {F: 'forward', B: 'input gradient', W: 'weight gradient', BW: 'both gradients'};
const kPassColours = {F: 'f', B: 'b', W: 'w', BW: 'bw'};

// "F0:5+BW1:2" -> [{kind, chunk, micro}]; the parts of an overlapped pair.
const parts_of_op = (op) => op.split('+').map((part) => {
  const [, kind, chunk, micro] = part.match(/^([A-Z]+)(\d+):(\d+)$/) ?? [null, 'F', 0, 0];
  return {kind, chunk: Number(chunk), micro: Number(micro)};
});
const has_timeline = (run) => run.timeline && (run.timeline.pipeline > 1 || run.timeline.expert > 1);
const op_text = (op, chunks) => parts_of_op(op).map((p) =>
  `${kPasses[p.kind] ?? p.kind} of micro-batch ${p.micro}${chunks > 1 ? ` in chunk ${p.chunk}` : ''}`).join(' with ');
const part_colour = (part) => `var(--${kPassColours[part.kind] ?? 'f'}${Math.min(part.chunk, 1)})`;

// Both timelines: [{title, more, rows: [{rank, ops, times}], end}]. All pipelines have one plan.
function timeline_groups(card) {
  const t = card.run().timeline, pipeline = t.pipelines[card.state.pipeline ?? 0] ?? t.pipelines[0];
  const end = (rows) => Math.max(...rows.flatMap((row) => row.times.end_us.slice(-1)), 0);
  const planned = t.ops.map((ops, p) => ({rank: pipeline[p].rank, ops, times: t.planned[p]}));
  const measured = t.ops.map((ops, p) => ({rank: pipeline[p].rank, ops, times: pipeline[p], planned: t.planned[p]}));
  return [
    {title: 'planned with the measured durations', more: `bubble ${percent(t.shares.planned_bubble)}`, rows: planned, end: end(planned)},
    {title: 'measured', more: `bubble ${percent(t.shares.bubble)}, exposed communication ${percent(t.shares.tokens + t.shares.stages)}`, rows: measured, end: t.length_us},
  ];
}

function draw_timeline(card) {
  const t = card.run().timeline, groups = timeline_groups(card), rows = t.ops.length, {height, gap, title, axis} = kRowOfRank;
  const width = Math.max(260, card.body.clientWidth), narrow = width < 560;
  const frame = {card, left: narrow ? 26 : 58, right: narrow ? 8 : 66, width, narrow, chunks: t.schedule.startsWith('dualpipe') ? 2 : 1};
  const group_height = title + rows * (height + gap), whole = 2 * group_height + axis + 8;
  const until = Math.max(...groups.map((g) => g.end));
  frame.range = [card.state.from ?? 0, card.state.to ?? until];
  frame.x = scale_of(frame.range, [frame.left, width - frame.right]);
  frame.svg = svg('svg', {width, height: whole, viewBox: `0 0 ${width} ${whole}`, role: 'img', class: 'timeline',
    'aria-label': `ops of step ${t.step} on every rank, planned and measured`});
  const clip = fresh_id('clip');
  frame.area = svg('g', {'clip-path': `url(#${clip})`});
  frame.svg.append(svg('clipPath', {id: clip}, svg('rect', {x: frame.left, y: 0, width: width - frame.left - frame.right, height: whole})), frame.area);
  groups.forEach((group, i) => draw_timeline_group(frame, group, i * (group_height + 4)));
  draw_time_axis(frame, 2 * group_height + 4);
  listen_timeline(frame);
  card.body.replaceChildren(frame.svg);
  timeline_legend(card, t);
}

function draw_timeline_group(frame, group, top) {
  const {height, gap, title} = kRowOfRank;
  frame.svg.append(svg('text', {class: 'group', x: frame.left, y: top + 17}, svg('tspan', {class: 'strong'}, group.title),
    frame.narrow ? null : svg('tspan', {dx: 10}, group.more)));
  group.rows.forEach((row, p) => {
    const y = top + title + p * (height + gap), end = frame.x(Math.min(group.end, frame.range[1]));
    frame.svg.append(svg('text', {x: frame.left - 8, y: y + height / 2 + 4, 'text-anchor': 'end'}, frame.narrow ? row.rank : `rank ${row.rank}`));
    frame.area.append(svg('rect', {class: 'idle', x: frame.left, y, width: Math.max(0, end - frame.left), height}));
    row.ops.forEach((op, i) => draw_op(frame, row, op, i, y));
    if (frame.narrow) return;
    const busy = row.ops.reduce((sum, _, i) => sum + row.times.end_us[i] - row.times.start_us[i], 0);
    const idle = 1 - busy / Math.max(group.end, 1e-9);  // rounding may leave less than nothing
    frame.svg.append(svg('text', {class: 'waits', x: frame.width - frame.right + 8, y: y + height / 2 + 4}, `idle ${percent(idle < 1e-5 ? 0 : idle, 2)}`));
  });
}

// A rectangle for each part of an op, with the number of its micro-batch where there is room.
function draw_op(frame, row, op, i, y) {
  const [from, to] = [row.times.start_us[i], row.times.end_us[i]];
  if (to < frame.range[0] || from > frame.range[1]) return;
  const parts = parts_of_op(op), height = kRowOfRank.height / parts.length, x = Math.max(frame.x(from), frame.left - 2);
  const end = Math.min(frame.x(to), frame.width - frame.right + 2), width = Math.max(end - x - 0.6, (end - x) * 0.7);
  const group = svg('g', {class: `op ${parts.length > 1 ? 'pair' : ''}`, 'data-op': op, 'data-rank': row.rank, 'data-kind': row.planned ? 'measured' : 'planned',
    onpointermove: (event) => show_tooltip(op_tip(frame, row, op, i), event), onpointerleave: () => show_tooltip(null)});
  parts.forEach((part, k) => {
    const top = y + k * height;
    group.append(svg('rect', {x, y: top, width, height, style: `--colour: ${part_colour(part)}`}));
    if (width > kRowOfRank.digit * String(part.micro).length + 2 && height > 8)
      group.append(svg('text', {class: part.chunk ? 'on-dark' : 'on-light', x: x + width / 2, y: top + height / 2 + (parts.length > 1 ? 3.2 : 4), 'text-anchor': 'middle'}, part.micro));
  });
  frame.area.append(group);
}

function op_tip(frame, row, op, i) {
  const us = (value) => duration(value * 1e-6), [from, to] = [row.times.start_us[i], row.times.end_us[i]];
  const rows = [['from', us(from)], ['to', us(to)], ['takes', us(to - from)]];
  if (row.planned) {
    rows.push(['planned', us(row.planned.end_us[i] - row.planned.start_us[i])]);
    if (row.times.tokens_us[i] > 0) rows.push(['waits for tokens in it', us(row.times.tokens_us[i])]);
    if (from > row.times.asked_us[i]) rows.push(['waited for its messages', us(from - row.times.asked_us[i])]);
  }
  return tip_rows(`${op}: ${op_text(op, frame.chunks)}`, rows);
}

function draw_time_axis(frame, y) {
  const [unit, us] = frame.range[1] < 1e7 ? ['ms', 1e3] : ['s', 1e6];
  const ticks = linear_ticks(frame.range[0] / us, frame.range[1] / us, Math.max(2, (frame.width - frame.left) / 95));
  const axis = svg('g', {class: 'axis'}, svg('line', {class: 'base', x1: frame.left, x2: frame.width - frame.right, y1: y, y2: y}));
  for (const tick of ticks) {
    const x = frame.x(us * tick), text = tick_text(tick, ticks.step, frame.range[1] / us);
    axis.append(svg('line', {x1: x, x2: x, y1: y, y2: y + 4}), svg('text', {x, y: y + 16, 'text-anchor': 'middle'}, text));
  }
  if (!frame.narrow) axis.append(svg('text', {x: frame.width - frame.right + 8, y: y + 16}, unit));
  frame.svg.append(axis);
}

// Drag to look closer, double-click to show all.
function listen_timeline(frame) {
  const {state} = frame.card, brush = svg('rect', {class: 'brush', y: 0, height: frame.svg.getAttribute('height'), visibility: 'hidden'});
  let from = null;
  const place = (event) => Math.min(Math.max(event.clientX - frame.svg.getBoundingClientRect().left, frame.left), frame.width - frame.right);
  const zoom = (range) => {
    [state.from, state.to] = range ?? [];
    show_tooltip(null);
    draw_timeline(frame.card);
  };
  frame.svg.append(brush);
  frame.svg.addEventListener('pointerdown', (event) => {
    if (event.button === 0) from = place(event);
  });
  frame.svg.addEventListener('pointermove', (event) => {
    if (from === null) return;
    const to = place(event);
    brush.setAttribute('x', Math.min(from, to));
    brush.setAttribute('width', Math.abs(to - from));
    brush.setAttribute('visibility', Math.abs(to - from) > 3 ? 'visible' : 'hidden');
  });
  frame.svg.addEventListener('pointerup', (event) => {
    const start = from, end = place(event);
    from = null;
    brush.setAttribute('visibility', 'hidden');
    if (start !== null && Math.abs(end - start) >= 8) zoom([Math.min(start, end), Math.max(start, end)].map((px) => frame.x.inverse(px)));
  });
  frame.svg.addEventListener('dblclick', () => zoom(null));
}

function timeline_legend(card, t) {
  const parts = t.ops.flatMap((ops) => ops.flatMap(parts_of_op)), keys = [];
  for (const kind of Object.keys(kPasses)) {
    const chunks = [...new Set(parts.filter((p) => p.kind === kind).map((p) => p.chunk))].sort();
    if (chunks.length) keys.push(html('span', {class: 'key'}, ...chunks.map((chunk) => swatch(part_colour({kind, chunk}), 'block')), `${kPasses[kind]} (${kind})`));
  }
  if (t.schedule.startsWith('dualpipe')) keys.push(html('span', {class: 'key'}, 'light, dark: chunks 0 and 1 of a rank'), html('span', {class: 'key'}, 'one above the other: overlapped'));
  card.legend.replaceChildren(...keys);
}

const timeline_pipelines = (run) => run.timeline.pipelines.map((ranks, j) => `data rank ${j}`);
