// Drag an arrow over the image; arrow keys move its tip, with Shift its tail. Places are shares of the image, 0 to 1.
let arrow = {x0: 0.35, y0: 0.5, x1: 0.65, y1: 0.5};
let drawing = false;
const clamp = (value) => Math.min(Math.max(value, 0), 1);
function show() {
  const line = element.querySelector('line');
  if (!line) return;
  line.setAttribute('x1', 100 * arrow.x0); line.setAttribute('y1', 100 * arrow.y0);
  line.setAttribute('x2', 100 * arrow.x1); line.setAttribute('y2', 100 * arrow.y1);
}
function place(event) {
  const box = element.querySelector('.board').getBoundingClientRect();
  return [clamp((event.clientX - box.left) / box.width), clamp((event.clientY - box.top) / box.height)];
}
element.addEventListener('pointerdown', (event) => {
  const board = event.target.closest('.board');
  if (!board || !board.querySelector('img')) return;
  event.preventDefault();
  board.focus();
  board.setPointerCapture(event.pointerId);
  drawing = true;
  [arrow.x0, arrow.y0] = place(event);
  [arrow.x1, arrow.y1] = [arrow.x0, arrow.y0];
  show();
});
element.addEventListener('pointermove', (event) => {
  if (!drawing) return;
  [arrow.x1, arrow.y1] = place(event);
  show();
});
element.addEventListener('pointerup', (event) => {
  if (!drawing) return;
  drawing = false;
  [arrow.x1, arrow.y1] = place(event);
  show();
  trigger('drawn', arrow);
});
element.addEventListener('keydown', (event) => {
  const steps = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};
  const step = steps[event.key];
  if (!step || !event.target.closest('.board')) return;
  event.preventDefault();
  const [x, y] = event.shiftKey ? ['x0', 'y0'] : ['x1', 'y1'];
  arrow[x] = clamp(arrow[x] + 0.02 * step[0]);
  arrow[y] = clamp(arrow[y] + 0.02 * step[1]);
  show();
  trigger('drawn', arrow);
});
watch('value', show);
show();
