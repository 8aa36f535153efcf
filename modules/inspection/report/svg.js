// Elements. Text is always a text node: what a run's files hold never becomes markup.

function element(kind, tag, attributes, children) {
  const made = kind === 'svg' ? document.createElementNS('http://www.w3.org/2000/svg', tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? '' : value);
  }
  for (const child of children.flat()) {
    if (child === null || child === undefined) continue;
    made.append(child instanceof Node ? child : String(child));
  }
  return made;
}

const svg = (tag, attributes, ...children) => element('svg', tag, attributes, children);
const html = (tag, attributes, ...children) => element('html', tag, attributes, children);

// A line through points; it is broken where y is null, and a point with no neighbour is a dot.
function path_through(xs, ys) {
  let path = '', open = false;
  for (let i = 0; i < xs.length; ++i) {
    if (ys[i] === null || !Number.isFinite(ys[i]) || !Number.isFinite(xs[i])) {
      open = false;
      continue;
    }
    const point = `${xs[i].toFixed(1)} ${ys[i].toFixed(1)}`;
    const alone = !open && !(i + 1 < ys.length && ys[i + 1] !== null && Number.isFinite(ys[i + 1]));
    path += open ? `L${point}` : `M${point}${alone ? 'h0' : ''}`;
    open = true;
  }
  return path;
}

// The area between two lines.
function path_between(xs, lows, highs) {
  const whole = xs.map((_, i) => i).filter((i) => Number.isFinite(lows[i]) && Number.isFinite(highs[i]) && lows[i] !== null);
  if (whole.length < 2) return '';
  const there = whole.map((i) => `${xs[i].toFixed(1)} ${highs[i].toFixed(1)}`);
  const back = whole.reverse().map((i) => `${xs[i].toFixed(1)} ${lows[i].toFixed(1)}`);
  return `M${there.join('L')}L${back.join('L')}Z`;
}

let next_id = 0;
const fresh_id = (word) => `${word}-${++next_id}`;
