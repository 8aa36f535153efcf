// The page: head, controls, a card for each chart.

const is_dark = () => {
  const theme = document.documentElement.dataset.theme;
  return theme ? theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
};

const kCards = [];

function make_card(chart) {
  const card = {chart, state: {}, body: html('div', {class: 'body'}), legend: html('div', {class: 'legend'})};
  const runs = kRuns.filter((run) => has_chart(chart, run));
  card.run = () => runs[card.state.run ?? 0];
  const unit = chart.unit && chart.unit !== '1' ? html('span', {class: 'unit'}, chart.unit) : null;
  card.tools = html('div', {class: 'tools'});
  card.section = html('section', {class: `card ${chart.wide ? 'wide' : ''}`, id: `chart-${chart.id}`},
    html('div', {class: 'card-head'}, html('h3', {}, chart.title, unit), card.tools), chart.note ? html('p', {class: 'note'}, chart.note) : null,
    card.legend, card.body);
  fill_tools(card, runs);
  return card;
}

function fill_tools(card, runs) {
  const {chart, state} = card, tools = [];
  const choice = (label, names, chosen) => html('select', {'aria-label': `${chart.title}: ${label}`, onchange: (event) => {
    chosen(event.target.selectedIndex);
    draw_card(card);
  }}, ...names.map((name) => html('option', {}, name)));
  if (chart.one_run && runs.length > 1)
    tools.push(choice('run', runs.map((run) => run.name), (i) => { state.run = i; }));
  const pipelines = chart.pipelines ? chart.pipelines(runs[0]) : [];
  if (pipelines.length > 1) tools.push(choice('data rank', pipelines, (i) => { state.pipeline = i; }));
  const layers = chart.layers ? Math.max(...runs.map(chart.layers)) : 0, all = chart.all_layers !== false;
  if (layers > 1) {
    const names = Array.from({length: layers}, (_, l) => layer_name(runs[0], l));
    tools.push(choice('layer', all ? ['all layers', ...names] : names, (i) => { state.layer = all ? (i > 0 ? i - 1 : null) : i; }));
  }
  const switches = {focus: 'Leave the highest and lowest twentieth of the values outside', log: 'Logarithmic axis'};
  for (const [key, title] of Object.entries(switches).filter(([k]) => chart[k]))
    tools.push(html('button', {type: 'button', class: `switch ${key}`, 'aria-pressed': 'false', title, onclick: (event) => {
      state[key] = !state[key];
      event.currentTarget.setAttribute('aria-pressed', String(state[key]));
      draw_card(card);
    }}, key));
  card.tools.replaceChildren(...tools);
}

const has_chart = (chart, run) => Boolean(chart.has ? chart.has(run) : has_series(...chart.series.map((s) => s.name))(run));

function draw_card(card) {
  card.chart.draw(card);
}

function redraw() {
  show_crosshair(null);
  for (const card of kCards) draw_card(card);
}

function set_zoom(zoom) {
  view.zoom = zoom;
  document.getElementById('zoom').hidden = !zoom;
  redraw();
}

// --- Controls ---

// Buttons of which one is pressed.
function segmented(label, choices, chosen, choose) {
  const buttons = Object.entries(choices).map(([key, text]) => html('button', {type: 'button', 'data-key': key, 'aria-pressed': String(key === chosen), onclick: () => {
    for (const button of buttons) button.setAttribute('aria-pressed', String(button.dataset.key === key));
    choose(key);
  }}, text));
  return html('div', {class: 'segmented', role: 'group', 'aria-label': label}, ...buttons);
}

function fill_controls() {
  const horizontal = segmented('Horizontal axis', Object.fromEntries(Object.entries(kHorizontal).map(([key, h]) => [key, h.label])), view.x, (key) => {
    view.x = key;
    set_zoom(null);
  });
  const shown = html('output', {}, view.smoothing.toFixed(2));
  const smoothing = html('label', {class: 'slider'}, 'Smoothing', html('input', {type: 'range', id: 'smoothing', min: 0, max: 0.99, step: 0.01, value: view.smoothing, oninput: (event) => {
    view.smoothing = Number(event.target.value);
    shown.textContent = view.smoothing.toFixed(2);
    redraw();
  }}), shown);
  const zoom = html('button', {type: 'button', id: 'zoom', hidden: true, onclick: () => set_zoom(null)}, 'Show all');
  const theme = segmented('Theme', {auto: 'Auto', light: 'Light', dark: 'Dark'}, 'auto', set_theme);
  theme.id = 'theme';
  document.getElementById('controls').append(horizontal, smoothing, zoom, html('span', {class: 'space'}), theme);
}

function set_theme(theme) {
  if (theme === 'auto') delete document.documentElement.dataset.theme; else document.documentElement.dataset.theme = theme;
  redraw();  // pictures of heat maps have the colours of the theme
}

// --- Head ---

const last_value = (run, name) => run.series?.[name]?.mean.findLast((v) => v !== null) ?? null;

// The mean of the last tenth of a run, at most 100 rows: one step alone is noise.
function recent_mean(run, name) {
  const values = (run.series?.[name]?.mean ?? []).filter((v) => v !== null);
  const recent = values.slice(-Math.max(1, Math.min(100, Math.floor(values.length / 10))));
  return recent.length ? recent.reduce((a, b) => a + b) / recent.length : null;
}

function median(values) {
  const sorted = values.filter((v) => v !== null).sort((a, b) => a - b);
  return sorted.length ? sorted[sorted.length >> 1] : null;
}

function facts_of(run) {
  const share = (key) => has_timeline(run) ? percent(run.timeline.shares[key], 3) : kNothing;
  const rows = run.grids?.rows, at = (key) => rows?.[key]?.at(-1) ?? null;
  const best = run.series?.validation_loss?.mean.reduce((least, v) => v !== null && (least === null || v < least) ? v : least, null) ?? null;
  return [
    ['Steps', at('step') === null ? kNothing : grouped(at('step')), run.steps ? `of ${grouped(run.steps)}` : ''],
    ['Tokens', prefixed(at('tokens')), `in ${duration(at('seconds'))}`],
    ['Training loss', significant(recent_mean(run, 'loss')), 'recent mean'],
    ['Validation loss', significant(last_value(run, 'validation_loss')), best === null ? '' : `best ${significant(best)}`],
    ['MaxVio', significant(recent_mean(run, 'max_violation'), 3), 'recent mean'],
    ['Throughput', prefixed(median(run.series?.tokens_per_second?.mean ?? [])), 'token/s, median'],
    ...kRuns.some(has_timeline) ? [
      ['Bubble', share('bubble'), has_timeline(run) ? `${percent(run.timeline.shares.planned_bubble, 3)} planned` : ''],
      ['Exposed traffic', has_timeline(run) ? percent(run.timeline.shares.tokens + run.timeline.shares.stages, 3) : kNothing, `of step ${run.timeline?.step ?? kNothing}`],
    ] : [],
    ['Parameters', prefixed(run.parameters?.total), run.parameters ? `${prefixed(run.parameters.active)} active` : ''],
    ['Memory', bytes_text(run.memory?.peak), 'peak of a rank'],
  ];
}

const status_chip = (run) => {
  const word = (run.status ?? 'unknown').split(/[ :]/)[0];
  return html('span', {class: `status ${['running', 'done', 'stopped', 'failed'].includes(word) ? word : ''}`, title: run.status}, word);
};

function identity_of(run) {
  const build = run.build ? `moray ${run.build.version} (${run.build.commit}), ${run.build.compiler}, Kokkos ${run.build.kokkos}` : null;
  const size = run.ranks ? `${run.ranks} rank${run.ranks === 1 ? '' : 's'} × ${run.threads} thread${run.threads === 1 ? '' : 's'}` : null;
  return [['deck', run.deck], ['seed', run.seed], ['started', run.started], ['on', [run.host, size].filter(Boolean).join(', ')], ['build', build], ['folder', run.path]]
    .filter(([, value]) => value !== undefined && value !== null && value !== '');
}

const identity_list = (run) => html('dl', {class: 'identity'}, ...identity_of(run).map(([key, value]) => html('div', {}, html('dt', {}, key), html('dd', {}, value))));
const failure_of = (run) => /^failed\b/.test(run.status ?? '') ? html('p', {class: 'failure'}, run.status) : null;

function head_of_one(run) {
  const tiles = facts_of(run).filter(([, value]) => value !== kNothing)
    .map(([label, value, more]) => html('div', {class: 'tile'}, html('span', {class: 'label'}, label), html('b', {}, value), html('span', {class: 'more'}, more)));
  return [html('h1', {}, run.name, status_chip(run)), identity_list(run), failure_of(run), html('div', {class: 'tiles'}, ...tiles)];
}

function head_of_several() {
  const columns = facts_of(kRuns[0]).map(([label]) => label);
  const rows = kRuns.map((run) => {
    const box = html('input', {type: 'checkbox', checked: true, 'aria-label': `show ${run.name}`, onchange: (event) => {
      run.shown = event.target.checked;
      redraw();
    }});
    return html('tr', {'data-run': run.index}, html('td', {class: 'name'}, html('label', {}, box, swatch(run.colour, 'block'), run.name)), html('td', {}, status_chip(run)),
      ...facts_of(run).map(([, value, more]) => html('td', {class: 'number', title: more}, value)));
  });
  const details = kRuns.map((run) => html('div', {class: 'detail'}, html('h4', {}, swatch(run.colour, 'block'), run.name), identity_list(run), failure_of(run)));
  return [html('h1', {}, `${kRuns.length} runs`), html('div', {class: 'scroll'}, html('table', {class: 'runs'},
    html('thead', {}, html('tr', {}, html('th', {}, 'Run'), html('th', {}, 'Status'), ...columns.map((name) => html('th', {class: 'number'}, name)))),
    html('tbody', {}, ...rows))), html('details', {}, html('summary', {}, 'Decks, seeds and builds'), ...details)];
}

function fill_head() {
  const notes = kRuns.flatMap((run) => (run.notes ?? []).map((note) => html('li', {}, note)));
  document.getElementById('head').append(html('p', {class: 'brand'}, 'Moray'), ...(kRuns.length === 1 ? head_of_one(kRuns[0]) : head_of_several()).filter(Boolean),
    ...notes.length ? [html('details', {class: 'notes', open: true}, html('summary', {}, 'Not shown'), html('ul', {}, ...notes))] : []);
}

// --- Start ---

function start_page() {
  fill_head();
  fill_controls();
  const main = document.getElementById('charts');
  let heading = null;
  for (const chart of [...kCharts, ...other_charts()]) {
    if (!kRuns.some((run) => has_chart(chart, run))) continue;
    if (chart.section !== heading) main.append(html('h2', {}, heading = chart.section));
    const card = make_card(chart);
    kCards.push(card);
    main.append(card.section);
  }
  if (kCards.length === 0) main.append(html('p', {class: 'empty'}, 'No row of metrics was logged yet.'));
  document.getElementById('foot').append('Drag to zoom, double-click to show all; the arrow keys move the crosshair of a chosen chart.');
  let width = 0;
  new ResizeObserver(() => {
    if (main.clientWidth === width) return;
    width = main.clientWidth;
    redraw();
  }).observe(main);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw);
  redraw();
}
