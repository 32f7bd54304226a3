// Draws the stages of a run and keeps the drawing: a change of state changes attributes, never the elements.
const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 50, ROW = 66, MIN_WIDTH = 112, MAX_WIDTH = 172, MIN_GAP = 26, EDGE = 3, GUTTER = 16;
const MARKS = {
  running: "M-2.2 -3.4 L3.4 0 L-2.2 3.4 Z", retrying: "M3 -2 A3.6 3.6 0 1 0 3.4 1.4 M3.4 -3.6 L3.2 -1.6 L1.2 -1.9",
  done: "M-3.4 0.2 L-1 2.8 L3.6 -2.6", unchanged: "M-3 -1.5 H3 M-3 1.7 H3", restored: "M0 -3.4 V2.6 M-2.6 0.2 L0 2.8 L2.6 0.2",
  failed: "M-2.6 -2.6 L2.6 2.6 M2.6 -2.6 L-2.6 2.6", crashed: "M-2.6 -2.6 L2.6 2.6 M2.6 -2.6 L-2.6 2.6",
  cancelled: "M-3 0 H3", queued: "M0 -3 V0 L2.2 1.6", waiting: "", notrun: "M-2.6 0 H2.6",
};
const drawings = new WeakMap();

function make(tag, attributes, parent) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  parent.appendChild(element);
  return element;
}

function set(element, name, value) {
  if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

// A path through points with round corners; every part of it is horizontal or vertical.
function elbow(points, radius = 7) {
  let path = `M${points[0]}`;
  for (let i = 1; i < points.length - 1; i++) {
    const [x0, y0] = points[i - 1], [x, y] = points[i], [x1, y1] = points[i + 1];
    const r = Math.min(radius, (Math.abs(x - x0) + Math.abs(y - y0)) / 2, (Math.abs(x1 - x) + Math.abs(y1 - y)) / 2);
    const towards = (a, b) => Math.sign(b - a) * r;
    path += ` L${x - towards(x0, x)},${y - towards(y0, y)} Q${x},${y} ${x + towards(x, x1)},${y + towards(y, y1)}`;
  }
  return `${path} L${points[points.length - 1]}`;
}

// Columns from left to right: `boxes` by stage as [x, y, width], and the path of each edge.
function columns(data, width) {
  const count = 1 + Math.max(...data.nodes.map((node) => node.x));
  const needed = count * MIN_WIDTH + (count - 1) * MIN_GAP + 2 * EDGE;
  if (needed > width) return null;
  const cell = Math.min(MAX_WIDTH, (width - 2 * EDGE - (count - 1) * MIN_GAP) / count);
  const gap = count > 1 ? Math.min(64, (width - 2 * EDGE - count * cell) / (count - 1)) : 0;
  const top = Math.min(...data.nodes.map((node) => node.y)), bottom = Math.max(...data.nodes.map((node) => node.y));
  const boxes = {};
  for (const node of data.nodes) boxes[node.id] = [EDGE + node.x * (cell + gap), EDGE + (node.y - top) * ROW, cell];
  let height = (bottom - top) * ROW + HEIGHT + 2 * EDGE;
  const at = Object.fromEntries(data.nodes.map((node) => [node.id, node]));
  const paths = data.edges.map(([source, target]) => {
    const [x0, y0, w0] = boxes[source], [x1, y1] = boxes[target];
    const from = [x0 + w0, y0 + HEIGHT / 2], to = [x1, y1 + HEIGHT / 2];
    if (at[target].x - at[source].x > 1) {  // past other columns: underneath them
      const low = height + 6;
      height = low + EDGE;
      return elbow([from, [from[0] + gap / 2, from[1]], [from[0] + gap / 2, low], [to[0] - gap / 2, low], [to[0] - gap / 2, to[1]], to]);
    }
    const bend = Math.max(gap, 24) / 2;
    return `M${from} C${from[0] + bend},${from[1]} ${to[0] - bend},${to[1]} ${to}`;
  });
  return { boxes, paths, width: EDGE * 2 + count * cell + (count - 1) * gap, height };
}

// Chains under each other for narrow places; what leads from one to another runs in the margins.
function chains(data, width) {
  const available = width - 2 * GUTTER, gap = 18;
  const per = Math.max(1, Math.min(Math.max(...data.chains.map((chain) => chain.length)), Math.floor((available + gap) / (MIN_WIDTH + gap))));
  const boxes = {}, place = {};
  let row = 0;
  data.chains.forEach((chain) => {
    const across = Math.min(per, chain.length), cell = (available - (across - 1) * gap) / across;
    chain.forEach((id, index) => {
      const column = index % across;
      boxes[id] = [GUTTER + column * (cell + gap), EDGE + (row + Math.floor(index / across)) * ROW, cell];
      place[id] = [row + Math.floor(index / across), column];
    });
    row += Math.ceil(chain.length / across);
  });
  const right = width - EDGE, left = EDGE;
  const paths = data.edges.map(([source, target, aside]) => {
    if (aside) return "";
    const [x0, y0, w0] = boxes[source], [x1, y1, w1] = boxes[target];
    const from = [x0 + w0, y0 + HEIGHT / 2], to = [x1, y1 + HEIGHT / 2];
    const [row0, column0] = place[source], [row1, column1] = place[target];
    if (row0 === row1 && column1 === column0 + 1) return `M${from} L${to}`;
    const between = y0 + HEIGHT + (ROW - HEIGHT) / 2;
    if (data.fanin.includes(target)) {  // many lead here: down the right margin
      return elbow([from, [right, from[1]], [right, to[1]], [x1 + w1, to[1]]]);
    }
    return elbow([from, [right, from[1]], [right, between], [left, between], [left, to[1]], to]);
  });
  return { boxes, paths, width, height: row * ROW - (ROW - HEIGHT) + 2 * EDGE };
}

function fit(text, words, available) {
  text.textContent = words;
  for (let length = words.length - 1; length > 1 && text.getComputedTextLength() > available; length--) {
    text.textContent = `${words.slice(0, length).trimEnd()}…`;
  }
}

function draw(root, data, width, pick) {
  const plan = columns(data, width) ?? chains(data, width);
  root.textContent = "";
  const svg = make("svg", { width: plan.width, height: plan.height, viewBox: `0 0 ${plan.width} ${plan.height}`, role: "group", "aria-label": data.alt }, root);
  const drawing = { svg, nodes: {}, edges: [], signature: data.signature, width, words: {} };
  const order = data.edges.map((edge, index) => [edge, plan.paths[index]]).sort((a, b) => Number(b[0][2]) - Number(a[0][2]));
  for (const [[source, target, aside], path] of order) {
    if (path) drawing.edges.push({ path: make("path", { class: "edge", d: path }, svg), source, target, aside });
  }
  for (const node of data.nodes) {
    const [x, y, w] = plan.boxes[node.id];
    const group = make("g", { class: "node", role: "button", tabindex: -1, transform: `translate(${x},${y})`, "data-stage": node.id }, svg);
    make("rect", { class: "ring", x: -2, y: -2, width: w + 4, height: HEIGHT + 4, rx: 10 }, group);
    make("rect", { class: "card", width: w, height: HEIGHT, rx: 8 }, group);
    make("circle", { class: "dot", cx: 17, cy: 18, r: 7.5 }, group);
    const mark = make("path", { class: "mark", transform: "translate(17,18)" }, group);
    const title = make("text", { class: "title", x: 31, y: 22.5 }, group);
    const sub = make("text", { class: "sub", x: 10, y: 40 }, group);
    const track = make("rect", { class: "track", x: 8, y: HEIGHT - 5, width: w - 16, height: 3, rx: 1.5 }, group);
    const bar = make("rect", { class: "bar", x: 8, y: HEIGHT - 5, width: 0, height: 3, rx: 1.5 }, group);
    const tip = make("title", {}, group);
    group.onclick = () => pick(node.id);
    group.onfocus = () => rove(drawing, node.id);
    group.onkeydown = (event) => keys(event, drawing, node.id, pick);
    drawing.nodes[node.id] = { group, mark, title, sub, track, bar, tip, box: [x, y, w], w };
  }
  rove(drawing, data.selected in drawing.nodes ? data.selected : data.nodes[0]?.id);
  return drawing;
}

// One stop for the Tab key; the arrows go on from there.
function rove(drawing, id) {
  for (const [name, node] of Object.entries(drawing.nodes)) set(node.group, "tabindex", name === id ? 0 : -1);
}

function keys(event, drawing, id, pick) {
  if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    pick(id);
    return;
  }
  const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (!way) return;
  event.preventDefault();
  const [x, y, w] = drawing.nodes[id].box, middle = [x + w / 2, y];
  let best = null, least = Infinity;
  for (const [name, node] of Object.entries(drawing.nodes)) {
    const dx = node.box[0] + node.box[2] / 2 - middle[0], dy = node.box[1] - middle[1];
    const along = dx * way[0] + dy * way[1], across = Math.abs(dx * way[1]) + Math.abs(dy * way[0]);
    if (name !== id && along > 1 && along + 2 * across < least) [best, least] = [name, along + 2 * across];
  }
  if (best) drawing.nodes[best].group.focus();
}

function paint(drawing, data) {
  const states = Object.fromEntries(data.nodes.map((node) => [node.id, node.state]));
  for (const node of data.nodes) {
    const found = drawing.nodes[node.id];
    const picked = node.id === data.selected;
    set(found.group, "class", `node ${node.state}${picked ? " picked" : ""}`);
    set(found.group, "aria-pressed", picked);
    set(found.mark, "d", MARKS[node.state] ?? "");
    const live = node.state === "running" || node.state === "retrying";
    const known = live && node.share !== null;
    set(found.track, "visibility", known ? "visible" : "hidden");
    set(found.bar, "visibility", known ? "visible" : "hidden");
    found.bar.style.width = `${known ? node.share * (found.w - 16) : 0}px`;
    const words = `${node.title}\n${node.sub}\n${node.label}`;
    if (drawing.words[node.id] !== words) {
      drawing.words[node.id] = words;
      fit(found.title, node.title, found.w - 39);
      fit(found.sub, node.sub, found.w - 18);
      found.tip.textContent = node.label;  // the name it is called by, and what a pointer shows
    }
  }
  const settled = ["done", "unchanged", "restored"];
  for (const { path, source, target, aside } of drawing.edges) {
    const on = settled.includes(states[source]), live = on && ["running", "retrying"].includes(states[target]);
    const near = aside && [source, target].includes(data.selected);
    set(path, "class", `edge${aside ? " aside" : ""}${live ? " live" : on ? " on" : ""}${near ? " near" : ""}`);
  }
}

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector("#graph");
  const pick = (id) => setTriggerValue("picked", id);
  let kept = drawings.get(parentElement);
  if (!kept) {
    kept = {};
    kept.observer = new ResizeObserver(() => {
      const width = Math.floor(root.clientWidth);
      if (width && kept.drawing && Math.abs(width - kept.drawing.width) > 3) {
        kept.drawing = draw(root, kept.data, width, kept.pick);
        paint(kept.drawing, kept.data);
      }
    });
    kept.observer.observe(root);
    drawings.set(parentElement, kept);
  }
  kept.data = data;
  kept.pick = pick;
  const width = Math.floor(root.clientWidth) || 900;
  if (kept.drawing?.signature !== data.signature || Math.abs(width - kept.drawing.width) > 3) {
    const focused = parentElement.activeElement?.dataset?.stage;
    kept.drawing = draw(root, data, width, (id) => kept.pick(id));
    paint(kept.drawing, data);
    if (focused && kept.drawing.nodes[focused]) kept.drawing.nodes[focused].group.focus();
  } else {
    paint(kept.drawing, data);
  }
  return () => {
    kept.observer.disconnect();
    drawings.delete(parentElement);
  };
}
