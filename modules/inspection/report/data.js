// The runs, and what all charts share: which runs are shown, the horizontal axis, zoom and smoothing.

const kColours = 8;  // of style variables --c0 ...
const kRuns = JSON.parse(document.getElementById('report').textContent).runs;
kRuns.forEach((run, i) => {
  run.index = i;
  run.shown = true;
  run.colour = `var(--c${i % kColours})`;
});

const view = {
  x: 'step',      // a key of kHorizontal
  zoom: null,     // [from, to] on the horizontal axis
  smoothing: 0.6, // of noisy lines; 0: none
};

const kHorizontal = {
  step: {label: 'Step', title: 'step', text: (v) => `step ${grouped(v)}`},
  tokens: {label: 'Tokens', title: 'tokens', text: (v) => `${prefixed(v, 4)} tokens`},
  seconds: {label: 'Time', title: 'time in training steps', text: duration},
};

const shown_runs = () => kRuns.filter((run) => run.shown);
const grid_xs = (run, grid) => run.grids[grid]?.[view.x] ?? [];

// [from, to] of the horizontal axis of all charts.
function horizontal_extent() {
  if (view.zoom) return view.zoom;
  let to = 0;
  for (const run of shown_runs()) for (const x of grid_xs(run, 'rows').slice(-1)) to = Math.max(to, x);
  return [0, to > 0 ? to : 1];
}

// A series as a line, or null where the run has none.
function series_line(run, name) {
  const series = run.series?.[name];
  if (!series) return null;
  return {run, grid: series.grid, xs: grid_xs(run, series.grid), mean: series.mean, low: series.low, high: series.high};
}

// Values of a map: (bucket, layer, expert), 16-bit levels of which 65535 is NaN.
function map_values(map) {
  if (map.decoded) return map.decoded;
  const bytes = Uint8Array.from(atob(map.values), (c) => c.charCodeAt(0));
  map.decoded = new Float64Array(bytes.length / 2);
  for (let i = 0; i < map.decoded.length; ++i) {
    const level = bytes[2 * i] + 256 * bytes[2 * i + 1];
    map.decoded[i] = level === 65535 ? NaN : map.low + (map.high - map.low) * level / 65534;
  }
  return map.decoded;
}

// Decimals of a map's values that 16 bits keep.
const map_decimals = (map) => Math.max(0, Math.floor(-Math.log10(Math.max((map.high - map.low) / 65534, 1e-12) * 2)));

const layer_name = (run, layer) => run.moe_layers?.[layer] ?? `MoE layer ${layer}`;

// Index of the value nearest to x in ascending values; -1 if there is none.
function nearest_index(values, x) {
  if (values.length === 0) return -1;
  let low = 0, high = values.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] < x) low = middle + 1; else high = middle;
  }
  return low > 0 && x - values[low - 1] < values[low] - x ? low - 1 : low;
}

// Mean with weights that fall like weight^distance to both sides, so that nothing lags. Near the start,
// where a loss falls fast, both sides reach equally far. Gaps stay gaps.
function smoothed(values, weight) {
  const reach = Math.ceil(Math.log(0.01) / Math.log(weight));
  return values.map((value, i) => {
    if (value === null) return null;
    let sum = value, scale = 1, w = 1;
    for (let d = 1; d <= Math.min(reach, i); ++d) {
      w *= weight;
      for (const other of [values[i - d], values[i + d]]) {
        if (other === null || other === undefined) continue;
        sum += w * other;
        scale += w;
      }
    }
    return sum / scale;
  });
}

// "steps 1,010 to 1,050, 3.4 M tokens, 2 min 10 s": where a point of a grid is.
// With several runs without the time, which differs from run to run.
function place_text(run, grid, i) {
  const g = run.grids[grid];
  const several = g.first && g.first[i] !== g.step[i];
  const parts = [several ? `steps ${grouped(g.first[i])} to ${grouped(g.step[i])}` : `step ${grouped(g.step[i])}`];
  if (g.tokens[i] !== null) parts.push(`${prefixed(g.tokens[i])} tokens`);
  if (g.seconds[i] !== null && kRuns.length === 1) parts.push(duration(g.seconds[i]));
  return parts.join(' · ');
}
