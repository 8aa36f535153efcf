// The table of charts. A chart is one entry:
//
//   id       of its card, chart-<id>
//   section  heading that it stands under
//   title, unit, note
//   has      (run) => whether the run has what it shows; a chart that no run has is left out
//   draw     (card) => draws into card.body and card.legend; called again whenever anything changed.
//            draw_lines needs `series` [{name, label, noisy, marks, dashed}] or `lines` (run, card)
//   wide     over both columns
//   one_run  shows one run at a time, chosen in the card: card.run()
//   pipelines (run) => names of pipelines to choose from in the card: card.state.pipeline
//   layers   (run) => names of layers to choose from in the card: card.state.layer, null for all
//   log      true: the card has a switch to a logarithmic axis, card.state.log
//   focus    true: and one that leaves extreme values outside, card.state.focus

const has_series = (...names) => (run) => names.some((name) => run.series?.[name]);
const mtp_names = [...new Set(kRuns.flatMap((run) => Object.keys(run.series ?? {}).filter((name) => name.startsWith('mtp_loss['))))];

const fp8_series = (what) => ['x', 'dy', 'w'].map((role) => ({name: `fp8_${what}_${role}`, label: role, marks: true}));

const kCharts = [
  {
    id: 'loss', section: 'Learning', title: 'Loss', unit: 'nat/token', log: true, focus: true, wide: true, height: 320, draw: draw_lines,
    note: 'Mean negative log-likelihood: of the sequences of each step (training), of text that is never trained on (validation).',
    series: [{name: 'loss', label: 'training', noisy: true}, {name: 'validation_loss', label: 'validation', marks: true},
      ...mtp_names.map((name, k) => ({name, label: `MTP ${k + 1}`, noisy: true, dashed: true}))],
  },
  {
    id: 'learning_rate', section: 'Learning', title: 'Learning rate', unit: '1', zero: true, log: true, draw: draw_lines,
    series: [{name: 'learning_rate', label: 'learning rate'}],
  },
  {
    id: 'gradient_norm', section: 'Learning', title: 'Gradient norm', unit: '1', log: true, focus: true, draw: draw_lines,
    note: 'Euclidean norm over all parameters, before clipping.',
    series: [{name: 'gradient_norm', label: 'gradient norm', noisy: true}],
  },
  {
    id: 'loads', section: 'Experts', title: 'Expert load', unit: '1', wide: true, one_run: true, draw: draw_heat,
    note: 'Tokens that each expert got, relative to an even share of its layer. Each row is an expert.',
    has: (run) => run.maps?.loads, layers: (run) => run.maps.loads.layers,
  },
  {
    id: 'max_violation', section: 'Experts', title: 'MaxVio', unit: '1', zero: true, log: true, draw: draw_lines,
    note: 'Largest load of a layer over its mean, less one; the mean over layers, with the range that they span.',
    series: [{name: 'max_violation', label: 'mean over layers', noisy: true}],
  },
  {
    id: 'bias', section: 'Experts', title: 'Selection bias', unit: '1', one_run: true, all_layers: false, draw: draw_lines,
    note: 'What balancing adds to the score of each expert before the choice.',
    has: (run) => run.maps?.bias, layers: (run) => run.maps.bias.layers, lines: bias_lines,
  },
  {
    id: 'fp8_underflow', section: 'FP8', title: 'Values that became zero', unit: '1', log: true, draw: draw_lines,
    note: 'Part of the values that were not zero and whose FP8 code is: of all tensors, with the range that tensors span.',
    series: fp8_series('underflow'),
  },
  {
    id: 'fp8_saturated', section: 'FP8', title: 'Values at the largest code', unit: '1', log: true, draw: draw_lines,
    note: 'Part of the values that are ±448 before their scale. A float32 scale puts the largest value of each block there.',
    series: fp8_series('saturated'),
  },
  {
    id: 'fp8_amax', section: 'FP8', title: 'Largest magnitude', unit: '1', log: true, draw: draw_lines,
    note: 'Of all tensors, before quantisation.', series: fp8_series('amax'),
  },
  {
    id: 'fp8_scales', section: 'FP8', title: 'Scales of blocks', wide: true, one_run: true, draw: draw_fp8,
    note: 'In the newest step that counted: how many blocks of each tensor have a scale from this power of two to the next.',
    has: (run) => run.fp8,
  },
  {
    id: 'timeline', section: 'One step', title: 'Timeline of a step', wide: true, one_run: true, draw: draw_timeline, has: has_timeline,
    note: 'When each op of the newest recorded step ran on every rank. Drag to look closer, double-click to show all.',
    pipelines: timeline_pipelines,
  },
  {
    id: 'phases', section: 'One step', title: 'Time of each phase', wide: true, one_run: true, draw: draw_phases, has: (run) => run.timeline,
    note: 'Of the same step, mean of the ranks; the share is that of the whole step.',
  },
  {
    id: 'throughput', section: 'Machine', title: 'Throughput', unit: 'token/s', zero: true, focus: true, draw: draw_lines,
    series: [{name: 'tokens_per_second', label: 'throughput', noisy: true}],
  },
  {
    id: 'seconds', section: 'Machine', title: 'Time of a step', unit: 's', zero: true, focus: true, draw: draw_lines,
    series: [{name: 'seconds', label: 'time of a step', noisy: true}],
  },
  {
    id: 'memory', section: 'Machine', title: 'Memory of a rank', unit: '1', wide: true, draw: draw_memory,
    note: 'The arena that the deck plans, with what the program had before it, over the most that was resident.',
    has: (run) => run.memory?.plan,
  },
  {
    id: 'sent', section: 'Machine', title: 'Sent by a rank in a step', unit: '1', wide: true, draw: draw_sent,
    note: 'Mean of the ranks and of the steps of the newest start: what went into messages, by what it was.',
    has: (run) => run.profile?.sent?.length > 0,
  },
  {
    id: 'copies', section: 'Machine', title: 'Copies of a token in a layer', unit: '1', wide: true, draw: draw_copies,
    note: 'Of the newest start, mean over its tokens: those counted, and those planned if experts are even. In two hops a copy to a node is handed on inside it.',
    has: (run) => run.profile?.copies,
  },
  {
    id: 'timers', section: 'Machine', title: 'Time of each part', unit: '1', wide: true, draw: draw_timers,
    note: 'Of the newest start of the run, slowest rank; the share is that of all its time.',
    has: (run) => run.profile?.parts.length > 0,
  },
  {
    id: 'kernels', section: 'Machine', title: 'Time of each kernel', unit: '1', wide: true, draw: draw_kernels,
    note: 'Of the newest start of the run, on rank 0: the time in launches of each kernel of the program.',
    has: (run) => run.profile?.kernels.length > 0,
  },
];

// The biases of the experts of a layer.
function bias_lines(run, card) {
  const map = run.maps.bias, values = map_values(map), layer = card.state.layer ?? 0, xs = grid_xs(run, 'maps');
  return Array.from({length: map.experts}, (_, e) => {
    const mean = xs.map((_, b) => values[(b * map.layers + layer) * map.experts + e]).map((v) => Number.isNaN(v) ? null : v);
    return {run, grid: 'maps', xs, mean, decimals: map_decimals(map), label: `expert ${e}`, number: map.experts > kManyLines ? 0 : e};
  });
}

// Columns of the metrics that no chart names get a chart of their own.
function other_charts() {
  const named = new Set(kCharts.flatMap((chart) => chart.series?.map((s) => s.name) ?? []));
  const quiet = (run, name) => run.series[name].mean.every((v) => v === null || v === run.series[name].mean[0]);
  const names = new Set(kRuns.flatMap((run) => Object.keys(run.series ?? {}).filter((name) => !named.has(name) && !quiet(run, name))));
  return [...names].map((name) => ({
    id: name.replace(/\W+/g, '_'), section: 'More', title: name.replace(/_/g, ' ').replace(/^./, (c) => c.toUpperCase()), draw: draw_lines,
    unit: kRuns.find((run) => run.series?.[name]).series[name].unit, series: [{name, label: name.replace(/_/g, ' ')}],
  }));
}
