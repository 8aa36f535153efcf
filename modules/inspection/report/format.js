// Numbers for people. Thin spaces (U+2009) stand before units, and n/a for what is not there.

const kThin = '\u2009';
const kNothing = 'n/a';
const kPrefixes = [[1e12, 'T'], [1e9, 'B'], [1e6, 'M'], [1e3, 'k']];

// 12345 -> "12,345"
function grouped(value) {
  return Math.round(value).toLocaleString('en-US');
}

// So many significant digits, without an exponent between 1e-3 and 1e6.
function significant(value, digits = 4) {
  if (value === null || value === undefined || Number.isNaN(value)) return kNothing;
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-3) {
    const [mantissa, exponent] = value.toExponential(digits - 1).split('e');
    return `${mantissa.includes('.') ? mantissa.replace(/\.?0+$/, '') : mantissa}e${Number(exponent)}`;
  }
  const decimals = Math.max(0, digits - 1 - Math.floor(Math.log10(size)));
  return size >= 1e4 ? grouped(value) : value.toFixed(decimals);
}

// Counts, with the letters that are used for models: 2422720 -> "2.42 M", 671e9 -> "671 B"
function prefixed(value, digits = 3) {
  if (value === null || value === undefined) return kNothing;
  for (const [size, prefix] of kPrefixes)
    if (Math.abs(value) >= 0.9995 * size) return (value / size).toPrecision(digits) + kThin + prefix;
  return Number.isInteger(value) ? String(value) : Number(value.toPrecision(digits)).toString();
}

function bytes_text(value) {
  if (value === null || value === undefined) return kNothing;
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let unit = 0;
  for (; value >= 1024 && unit + 1 < units.length; ++unit) value /= 1024;
  return (unit === 0 ? value : value.toPrecision(value < 1000 ? 3 : 4)) + kThin + units[unit];
}

// Seconds: "12.3 ms", "4.27 s", "3 min 20 s", "1 h 02 min", "3 d 04 h"
function duration(seconds) {
  if (seconds === null || seconds === undefined) return kNothing;
  if (seconds === 0) return `0${kThin}s`;
  if (seconds < 1e-3) return significant(1e6 * seconds, 3) + kThin + 'µs';
  if (seconds < 1) return significant(1e3 * seconds, 3) + kThin + 'ms';
  if (seconds < 60) return significant(seconds, 3) + kThin + 's';
  const s = Math.round(seconds), two = (n) => String(n).padStart(2, '0');
  if (s < 3600) return `${Math.floor(s / 60)}${kThin}min ${two(s % 60)}${kThin}s`;
  if (s < 86400) return `${Math.floor(s / 3600)}${kThin}h ${two(Math.floor(s / 60) % 60)}${kThin}min`;
  return `${Math.floor(s / 86400)}${kThin}d ${two(Math.floor(s / 3600) % 24)}${kThin}h`;
}

function percent(part, digits = 3) {
  return significant(100 * part, digits) + kThin + '%';
}
