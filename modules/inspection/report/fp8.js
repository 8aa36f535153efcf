// What quantisation did in the newest step that counted: for x, dy and w a map with a row for each tensor, whose
// columns are powers of two and whose colours say how many of its blocks have such a scale.

const kFp8Roles = {x: 'x, the input', dy: 'dy, the gradient of the output', w: 'w, the weight'};
const kFp8 = {label: 250, gap: 18, head: 20, foot: 22, height: 480, named: 12};

// [from, to) of the exponents of all scales.
function fp8_exponents(tensors) {
  const scales = tensors.flatMap((tensor) => Object.keys(kFp8Roles).map((role) => tensor[role]?.scales)).filter(Boolean);
  return [Math.min(...scales.map((s) => s.exponent)), Math.max(...scales.map((s) => s.exponent + s.blocks.length))];
}

// A pixel for each tensor and exponent.
function fp8_image(tensors, role, [from, to]) {
  const canvas = html('canvas', {width: to - from, height: tensors.length}), pen = canvas.getContext('2d');
  const image = pen.createImageData(to - from, tensors.length);
  tensors.forEach((tensor, row) => {
    const counted = tensor[role];
    if (!counted?.scales) return;
    counted.scales.blocks.forEach((blocks, i) => {
      if (blocks === 0) return;
      const at = 4 * (row * (to - from) + counted.scales.exponent - from + i);
      image.data.set([...palette_colour(0.6 + 0.4 * blocks / counted.blocks), 255], at);
    });
  });
  pen.putImageData(image, 0, 0);
  return canvas.toDataURL();
}

const fp8_name = (tensor) => tensor.name.replace(/^model\.(layers\.)?/, '');

function fp8_tip(tensor, role, exponent) {
  const counted = tensor[role], scales = counted.scales, here = scales?.blocks[exponent - scales.exponent] ?? 0;
  return tip_rows(`${tensor.name}: ${role}`, [
    ['amax of a block', `${significant(counted.least_amax, 3)} to ${significant(counted.largest_amax, 3)}`],
    ['became zero', `${percent(counted.underflow / counted.values)} of the values`],
    ['largest code', `${percent(counted.saturated / counted.values)} of the values`],
    ['amax below 1e-4', `${percent(counted.clamped / counted.blocks)} of the blocks`],
    [`scale from 2^${exponent} to 2^${exponent + 1}`, `${percent(here / counted.blocks)} of the blocks`],
  ]);
}

// The axis of a panel: as many powers of two as there is room for.
function fp8_axis(left, width, base, [from, to]) {
  const group = svg('g', {class: 'axis'}), stride = Math.max(1, Math.ceil(44 * (to - from) / width));
  for (let e = Math.ceil(from / stride) * stride; e < to; e += stride) {
    const x = left + (e - from + 0.5) / (to - from) * width;
    group.append(svg('line', {x1: x, x2: x, y1: base, y2: base + 4}), svg('text', {x, y: base + 16, 'text-anchor': 'middle'}, `2^${e}`));
  }
  return group;
}

function draw_fp8(card) {
  const {tensors, step} = card.run().fp8, extent = fp8_exponents(tensors);
  const width = Math.max(260, card.body.clientWidth), stacked = width < 720;
  const row_height = Math.min(14, Math.max(2, Math.floor(kFp8.height / tensors.length))), named = !stacked && row_height >= kFp8.named;
  const height = row_height * tensors.length, roles = Object.entries(kFp8Roles), left = named ? kFp8.label : 0;
  const panel = stacked ? width : (width - left - (roles.length - 1) * kFp8.gap) / roles.length, whole = kFp8.head + height + kFp8.foot;
  const area = svg('svg', {class: 'scales', width, height: stacked ? roles.length * whole : whole, role: 'img', 'aria-label': `scales of FP8 blocks in step ${step}`});
  const names = svg('g');
  if (named) tensors.forEach((tensor, row) => names.append(svg('text', {class: 'name', x: 0, y: kFp8.head + (row + 0.5) * row_height + 4}, cut_text(fp8_name(tensor), left - 8))));
  area.append(names);
  roles.forEach(([role, title], i) => {
    const x = stacked ? 0 : left + i * (panel + kFp8.gap), top = (stacked ? i * whole : 0) + kFp8.head;
    const tip = (event) => {
      const box = area.getBoundingClientRect();
      const row = Math.floor((event.clientY - box.top - top) / row_height), part = (event.clientX - box.left - x) / panel;
      const tensor = tensors[row], exponent = extent[0] + Math.floor(part * (extent[1] - extent[0]));
      show_tooltip(tensor?.[role] ? fp8_tip(tensor, role, exponent) : null, event);
    };
    area.append(svg('text', {class: 'value', x, y: top - 6}, title),
      svg('image', {x, y: top, width: panel, height, preserveAspectRatio: 'none', class: 'heat', 'data-rows': tensors.length,
        'data-columns': extent[1] - extent[0], 'data-role': role, href: fp8_image(tensors, role, extent)}),
      svg('rect', {class: 'frame', x, y: top, width: panel, height, onpointermove: tip, onpointerleave: () => show_tooltip(null)}),
      fp8_axis(x, panel, top + height, extent));
  });
  card.body.replaceChildren(area);
  const stops = [0, 1].map((part) => `rgb(${palette_colour(0.6 + 0.4 * part).join(' ')}) ${100 * part}%`);
  card.legend.replaceChildren(html('span', {class: 'key'}, `step ${grouped(step)}: few blocks`),
    html('span', {class: 'ramp', style: `background: linear-gradient(90deg, ${stops.join(', ')})`}), html('span', {class: 'key'}, 'all blocks of the tensor'));
}
