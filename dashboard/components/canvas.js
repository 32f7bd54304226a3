// A black square to draw on in white; each finished stroke is sent as a small PNG.
const SIDE = 280, SENT = 112, PEN = 22, STEP = 8;
const pads = new WeakMap();

function blank(pad) {
  pad.pen.fillStyle = "#000";
  pad.pen.fillRect(0, 0, SIDE, SIDE);
  pad.empty = true;
}

function send(pad) {
  const small = document.createElement("canvas");
  small.width = small.height = SENT;
  small.getContext("2d").drawImage(pad.canvas, 0, 0, SENT, SENT);
  pad.setStateValue("drawing", pad.empty ? "" : small.toDataURL("image/png"));
}

function stroke(pad, from, to) {
  pad.pen.beginPath();
  pad.pen.moveTo(...from);
  pad.pen.lineTo(...to);
  pad.pen.stroke();
  pad.empty = false;
}

function place(pad, event) {
  const box = pad.canvas.getBoundingClientRect();
  return [((event.clientX - box.left) / box.width) * SIDE, ((event.clientY - box.top) / box.height) * SIDE];
}

// Without a mouse: the arrows move the pen, which draws while Shift is held; Enter sends, Delete clears.
function keys(pad, event) {
  const way = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] }[event.key];
  if (way) {
    event.preventDefault();
    const to = [Math.min(SIDE, Math.max(0, pad.at[0] + way[0])), Math.min(SIDE, Math.max(0, pad.at[1] + way[1]))];
    if (event.shiftKey) stroke(pad, pad.at, to);
    pad.at = to;
  } else if (event.key === "Enter") {
    send(pad);
  } else if (event.key === "Delete" || event.key === "Backspace") {
    blank(pad);
    send(pad);
  }
}

export default function ({ data, parentElement, setStateValue }) {
  const canvas = parentElement.querySelector("canvas"), button = parentElement.querySelector("button");
  let pad = pads.get(parentElement);
  if (!pad) {
    canvas.width = canvas.height = SIDE;
    pad = { canvas, pen: canvas.getContext("2d"), at: [SIDE / 2, SIDE / 2], last: null, empty: true };
    Object.assign(pad.pen, { strokeStyle: "#fff", lineWidth: PEN, lineCap: "round", lineJoin: "round" });
    blank(pad);
    pads.set(parentElement, pad);
  }
  pad.setStateValue = setStateValue;
  canvas.setAttribute("aria-label", data.label);
  button.textContent = data.clear;
  canvas.onpointerdown = (event) => {
    canvas.setPointerCapture(event.pointerId);
    pad.last = place(pad, event);
    stroke(pad, pad.last, pad.last);
  };
  canvas.onpointermove = (event) => {
    if (!pad.last) return;
    const to = place(pad, event);
    stroke(pad, pad.last, to);
    pad.last = to;
  };
  canvas.onpointerup = canvas.onpointercancel = () => {
    if (pad.last) send(pad);
    pad.last = null;
  };
  canvas.onkeydown = (event) => keys(pad, event);
  button.onclick = () => {
    blank(pad);
    send(pad);
  };
  return () => pads.delete(parentElement);
}
