// Where the time of a step went, mean of the ranks: phases of the layers by pass, waits, and the bubble.

const kPhaseLabels = {attention: 'attention', dispatch: 'dispatch', experts: 'experts and FFN', combine: 'combine', ends: 'embedding, head'};
const kWaiting = 'var(--wait)';

// Rows of bars: [{label, name, segments: [{name, us, colour, text}]}].
function phase_rows(t) {
  const rows = Object.entries(kPhaseLabels).map(([phase, label]) => {
    const parts = t.phases.filter((p) => p.phase === phase);
    const segments = parts.map((p) => ({name: p.part, us: p.us - p.waited_us, colour: part_colour({kind: p.part, chunk: 0}), text: kPasses[p.part]}));
    const waited = parts.reduce((sum, p) => sum + p.waited_us, 0);
    if (waited > 0) segments.push({name: 'waiting', us: waited, colour: kWaiting, text: 'waiting for tokens of other ranks'});
    return {label, name: phase, segments};
  }).filter((row) => row.segments.length > 0);
  const single = (label, name, us, colour, text) => {
    if (us > 0) rows.push({label, name, segments: [{name, us, colour, text}]});
  };
  single('stage messages', 'stages', t.shares.stages * t.length_us, kWaiting, 'waiting for messages that had been sent');
  if (has_timeline({timeline: t})) single('bubble', 'bubble', t.shares.bubble * t.length_us, 'var(--muted)', 'nothing to do');
  single('reduction', 'reduce', t.reduce_us, 'var(--c6)', 'gradients over ranks, behind the last op');
  single('optimizer', 'update', t.update_us, 'var(--c6)', 'behind the reduction');
  return rows;
}

function draw_phases(card) {
  const t = card.run().timeline, rows = phase_rows(t), total = (row) => row.segments.reduce((sum, s) => sum + s.us, 0);
  const step = t.length_us + t.reduce_us + t.update_us, us = (value) => duration(value * 1e-6);
  const frame = bars_svg(card, rows.length, `time of each phase in step ${t.step}`);
  const x = scale_of([0, Math.max(1e-9, ...rows.map(total))], [frame.left, frame.width - frame.right]);
  rows.forEach((row, i) => {
    let sum = 0;
    const segments = row.segments.map((segment) => {
      const from = x(sum);
      sum += segment.us;
      return {name: segment.name, from, to: x(sum), colour: segment.colour,
        tip: () => tip_rows(`${row.label}: ${segment.text}`, [['time', us(segment.us)], ['of the step', percent(segment.us / step)]])};
    });
    draw_bar(frame, i, {label: row.label, segments, value: frame.narrow ? percent(sum / step) : `${us(sum)}  ${percent(sum / step)}`, data: {'data-series': row.name}});
  });
  const used = new Set(rows.flatMap((row) => row.segments.map((s) => s.name)));
  card.legend.replaceChildren(...['F', 'B', 'W'].filter((part) => used.has(part)).map((part) =>
    html('span', {class: 'key'}, swatch(part_colour({kind: part, chunk: 0}), 'block'), `${kPasses[part]} (${part})`)),
  ...used.has('waiting') || used.has('stages') ? [html('span', {class: 'key'}, swatch(kWaiting, 'block'), 'exposed communication')] : []);
}
