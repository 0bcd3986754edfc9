"""What a page is asked: which controls have no name, and which words are too faint (WCAG 2.1, 1.4.3)."""

UNLABELLED = """
const named = e => (e.getAttribute('aria-label') || e.getAttribute('title') || e.innerText || '').trim()
  || (e.labels && [...e.labels].some(label => label.innerText.trim()))
  || (e.getAttribute('aria-labelledby') && document.getElementById(e.getAttribute('aria-labelledby')))
  || e.closest('label')?.innerText.trim();
const seen = e => e.getClientRects().length && getComputedStyle(e).visibility !== 'hidden';
const controls = 'button, a[href], input:not([type=hidden]), textarea, select, '
  + '[role=slider], [role=checkbox], [role=switch]';
return [...document.querySelectorAll(controls)].filter(e => seen(e) && !named(e)).map(e => e.outerHTML.slice(0, 200));
"""

CONTRAST = """
const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
function rgba(colour) {
  canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255];
}
const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3]));
function behind(e) {
  const layers = [];
  for (let at = e; at; at = at.parentElement) layers.push(rgba(getComputedStyle(at).backgroundColor));
  return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255]);
}
const linear = c => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
function opacity(e) {
  let all = 1;
  for (let at = e; at; at = at.parentElement) all *= +getComputedStyle(at).opacity;
  return all;
}
const found = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const e = walker.currentNode.parentElement, text = walker.currentNode.textContent.trim();
  if (!text || !e.getClientRects().length) continue;
  if (e.closest('script, style, [aria-hidden=true], .disabled, .q-field--disabled')) continue;
  const style = getComputedStyle(e);
  if (style.visibility === 'hidden') continue;
  const ink = rgba(e.closest('svg') ? style.fill : style.color), ground = behind(e);
  ink[3] *= opacity(e);
  const [bright, dim] = [light(over(ink, ground)), light(ground)].sort((a, b) => b - a);
  const ratio = (bright + 0.05) / (dim + 0.05);
  if (ratio < 4.5) found.push(`${text.slice(0, 40)}: ${ratio.toFixed(2)}`);
}
return found;
"""
