(() => {
  "use strict";
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const colours = ["new", "again", "fast", "spurious", "order", "probe"];
  const LEFT = 76, BOTTOM = 24, TOP = 6, RIGHT = 10;
  const state = { connection: null, way: null, x: [0, 1], drag: null };
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`);

  const span = (us) => Math.abs(us) >= 1e6 ? `${(us / 1e6).toFixed(6)} s` : `${(us / 1e3).toFixed(3)} ms`;
  const short = (value) => Math.abs(value) >= 1e6 ? `${+(value / 1e6).toPrecision(6)}M`
    : Math.abs(value) >= 1e4 ? `${+(value / 1e3).toPrecision(6)}k` : `${+value.toPrecision(6)}`;
  const most = (list, start) => list.reduce((high, value) => value > high ? value : high, start);
  const least = (list, start) => list.reduce((low, value) => value < low ? value : low, start);

  // The first place in a rising list whose value is not below `value`.
  const place = (list, value) => {
    let low = 0, high = list.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (list[middle] < value) low = middle + 1; else high = middle;
    }
    return low;
  };

  const ticks = (low, high, count) => {
    const raw = (high - low) / Math.max(1, count);
    if (!(raw > 0)) return [low];
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = power * [1, 2, 5, 10].find((each) => each * power >= raw);
    const found = [];
    for (let at = Math.ceil(low / step) * step; at <= high; at += step) found.push(at);
    return found;
  };

  class Graph {
    constructor(id, describe) {
      this.canvas = byId(id);
      this.describe = describe;
      this.y = [0, 1];
      this.zoomed = null;
      this.canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
      this.canvas.addEventListener("pointerdown", (event) => this.press(event));
      this.canvas.addEventListener("pointermove", (event) => this.move(event));
      this.canvas.addEventListener("pointerup", (event) => this.release(event));
      this.canvas.addEventListener("pointerleave", () => { byId("tip").hidden = true; });
      this.canvas.addEventListener("dblclick", showAll);
    }
    get width() { return this.canvas.clientWidth - LEFT - RIGHT; }
    get height() { return this.canvas.clientHeight - TOP - BOTTOM; }
    px(t) { return LEFT + (t - state.x[0]) / (state.x[1] - state.x[0]) * this.width; }
    py(v) { return TOP + (1 - (v - this.y[0]) / (this.y[1] - this.y[0])) * this.height; }
    time(x) { return state.x[0] + (x - LEFT) / this.width * (state.x[1] - state.x[0]); }
    value(y) { return this.y[0] + (1 - (y - TOP) / this.height) * (this.y[1] - this.y[0]); }
    where(event) {
      const box = this.canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    }
    wheel(event) {
      event.preventDefault();
      const at = this.time(this.where(event)[0]);
      const factor = Math.exp(Math.sign(event.deltaY) * 0.25);
      look(at + (state.x[0] - at) * factor, at + (state.x[1] - at) * factor);
    }
    press(event) {
      this.canvas.setPointerCapture(event.pointerId);
      const [x, y] = this.where(event);
      state.drag = { graph: this, x, y, to: [x, y], pan: event.shiftKey, from: [...state.x] };
    }
    move(event) {
      const [x, y] = this.where(event);
      const drag = state.drag;
      if (drag && drag.graph === this) {
        drag.to = [x, y];
        if (drag.pan) {
          const shift = (drag.x - x) / this.width * (drag.from[1] - drag.from[0]);
          look(drag.from[0] + shift, drag.from[1] + shift);
        } else {
          draw();
        }
        return;
      }
      const text = this.describe(this, x, y);
      const tip = byId("tip");
      tip.hidden = !text;
      if (!text) return;
      tip.textContent = text;
      tip.style.left = `${Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8)}px`;
      tip.style.top = `${Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8)}px`;
    }
    release() {
      const drag = state.drag;
      state.drag = null;
      if (!drag || drag.pan || Math.abs(drag.to[0] - drag.x) < 5) { draw(); return; }
      const [x, y] = drag.to;
      if (this === sequence && Math.abs(y - drag.y) > 12) {
        this.zoomed = [this.value(Math.max(y, drag.y)), this.value(Math.min(y, drag.y))];
      }
      look(this.time(Math.min(x, drag.x)), this.time(Math.max(x, drag.x)));
    }
    begin(low, high) {
      const ratio = devicePixelRatio || 1;
      const canvas = this.canvas;
      canvas.width = Math.round(canvas.clientWidth * ratio);
      canvas.height = Math.round(canvas.clientHeight * ratio);
      const pen = this.pen = canvas.getContext("2d");
      pen.setTransform(ratio, 0, 0, ratio, 0, 0);
      const room = (high - low) * 0.04 || 1;
      this.y = this.zoomed || [low - (low ? room : 0), high + room];
      pen.font = "11px system-ui, sans-serif";
      pen.fillStyle = colour("mute");
      pen.strokeStyle = colour("grid");
      pen.lineWidth = 1;
      pen.textBaseline = "middle";
      pen.textAlign = "right";
      for (const at of ticks(...this.y, this.height / 45)) {
        this.line(LEFT, this.py(at), LEFT + this.width, this.py(at));
        pen.fillText(this.label ? this.label(at) : short(at), LEFT - 6, this.py(at));
      }
      pen.textAlign = "center";
      for (const at of ticks(...state.x, this.width / 110)) {
        this.line(this.px(at), TOP, this.px(at), TOP + this.height);
        pen.fillText(`${+(at / 1e6).toPrecision(9)} s`, this.px(at), TOP + this.height + 13);
      }
      pen.save();
      pen.beginPath();
      pen.rect(LEFT, TOP, this.width, this.height);
      pen.clip();
      pen.fillStyle = colour("stall");
      for (const [start, length] of state.connection.stalls) {
        pen.fillRect(this.px(start), TOP, Math.max(1, this.px(start + length) - this.px(start)), this.height);
      }
    }
    line(x, y, toX, toY) {
      this.pen.beginPath();
      this.pen.moveTo(x, y);
      this.pen.lineTo(toX, toY);
      this.pen.stroke();
    }
    stairs(times, values, name) {
      const pen = this.pen;
      const first = Math.max(0, place(times, state.x[0]) - 1);
      pen.strokeStyle = colour(name);
      pen.lineWidth = 1.4;
      pen.beginPath();
      for (let i = first; i < times.length; i += 1) {
        if (i > first) pen.lineTo(this.px(times[i]), this.py(values[i - 1]));
        pen[i > first ? "lineTo" : "moveTo"](this.px(times[i]), this.py(values[i]));
        if (times[i] > state.x[1]) break;
      }
      pen.stroke();
    }
    dots(times, values, name) {
      this.pen.fillStyle = colour(name);
      for (let i = place(times, state.x[0]); i < times.length && times[i] <= state.x[1]; i += 1) {
        this.pen.fillRect(this.px(times[i]) - 1.5, this.py(values[i]) - 1.5, 3, 3);
      }
    }
    end() {
      const drag = state.drag;
      if (drag && drag.graph === this && !drag.pan) {
        this.pen.fillStyle = colour("pick");
        const tall = this === sequence && Math.abs(drag.to[1] - drag.y) > 12;
        this.pen.fillRect(drag.x, tall ? drag.y : TOP, drag.to[0] - drag.x, tall ? drag.to[1] - drag.y : this.height);
      }
      this.pen.restore();
    }
  }

  const nearest = (graph, times, x) => {
    if (!times.length) return -1;
    const at = graph.time(x);
    const after = Math.min(place(times, at), times.length - 1);
    const before = Math.max(0, after - 1);
    const best = Math.abs(times[before] - at) < Math.abs(times[after] - at) ? before : after;
    return Math.abs(graph.px(times[best]) - x) < 24 ? best : -1;
  };

  const onSequence = (graph, x, y) => {
    const way = state.way;
    const from = place(way.t, graph.time(x - 12)), until = place(way.t, graph.time(x + 12));
    let best = -1, near = 24;
    for (let i = from; i < until && i < from + 4000; i += 1) {
      const inside = Math.max(0, graph.py(way.b[i]) - y, y - graph.py(way.a[i]));
      const far = Math.hypot(graph.px(way.t[i]) - x, inside);
      if (far < near) { near = far; best = i; }
    }
    if (best >= 0) {
      return `frame ${way.frame[best]}, ${span(way.t[best])}\n${way.a[best]} to ${way.b[best]} (${way.b[best] - way.a[best]})\n${data.kinds[way.k[best]]}, ${way.flight[best]} bytes in flight`;
    }
    const ack = place(way.at, graph.time(x)) - 1;
    return ack < 0 ? "" : `${span(graph.time(x))}\nacknowledged ${way.ack[ack]}\nwindow to ${way.edge[ack]} (${way.edge[ack] - way.ack[ack]})`;
  };
  const onTrips = (graph, x) => {
    const i = nearest(graph, state.way.rt, x);
    return i < 0 ? "" : `${span(state.way.rt[i])}\nround trip ${span(state.way.rtt[i])}`;
  };
  const onFlight = (graph, x) => {
    const i = nearest(graph, state.way.t, x);
    if (i < 0) return "";
    const window = place(state.way.ct, state.way.t[i] + 0.001) - 1;
    const told = window < 0 ? "" : `\ncwnd ${state.way.cl[window] ? "about" : "at least"} ${state.way.cw[window]}`;
    return `frame ${state.way.frame[i]}, ${span(state.way.t[i])}\n${state.way.flight[i]} bytes in flight${told}`;
  };

  const sequence = new Graph("sequence", onSequence);
  const trips = new Graph("trips", onTrips);
  const flight = new Graph("flight", onFlight);
  trips.label = (value) => `${+(value / 1e3).toPrecision(6)} ms`;

  // Where the part of a list of times begins and ends that is in sight, and `more` before it.
  const inSight = (times, more = 0) => [
    Math.max(0, place(times, state.x[0]) - more), place(times, state.x[1]),
  ];

  const drawSequence = () => {
    const way = state.way, graph = sequence;
    const sent = inSight(way.t), heard = inSight(way.at, 1);
    const bottoms = [...way.a.slice(...sent), ...way.ack.slice(...heard)];
    const tops = [...way.b.slice(...sent), ...way.ack.slice(...heard)];
    const low = bottoms.length ? least(bottoms, Infinity) : 0;
    const high = tops.length ? most(tops, -Infinity) : 1;
    const edge = most(way.edge.slice(...heard), high);
    graph.begin(low, Math.max(high, Math.min(edge, low + (high - low) * 2)));
    const pen = graph.pen;
    graph.stairs(way.at, way.edge, "edge");
    graph.stairs(way.at, way.ack, "ack");
    pen.strokeStyle = colour("sack");
    pen.lineWidth = 2;
    for (const [time, left, right] of way.sack) {
      if (time >= state.x[0] && time <= state.x[1]) graph.line(graph.px(time), graph.py(left), graph.px(time), graph.py(right));
    }
    colours.forEach((name, kind) => {
      pen.strokeStyle = colour(name);
      pen.lineWidth = kind ? 2.4 : 1.6;
      pen.beginPath();
      for (let i = place(way.t, state.x[0]); i < way.t.length && way.t[i] <= state.x[1]; i += 1) {
        if (way.k[i] !== kind) continue;
        const x = graph.px(way.t[i]), bottom = graph.py(way.a[i]), top = Math.min(graph.py(way.b[i]), bottom - 1);
        pen.moveTo(x, bottom);
        pen.lineTo(x, top);
        if (bottom - top > 5) {
          pen.moveTo(x - 2.5, bottom); pen.lineTo(x + 2.5, bottom);
          pen.moveTo(x - 2.5, top); pen.lineTo(x + 2.5, top);
        }
      }
      pen.stroke();
    });
    graph.end();
  };

  const draw = () => {
    if (!state.way) return;
    const way = state.way;
    drawSequence();
    trips.begin(0, most(way.rtt.slice(...inSight(way.rt)), 1));
    trips.dots(way.rt, way.rtt, "ack");
    trips.end();
    flight.begin(0, most(way.cw.slice(...inSight(way.ct, 1)), most(way.flight.slice(...inSight(way.t, 1)), 1)));
    flight.stairs(way.t, way.flight, "edge");
    flight.stairs(way.ct, way.cw, "cwnd");
    flight.dots(way.ct.filter((_, i) => way.cl[i]), way.cw.filter((_, i) => way.cl[i]), "cwnd");
    flight.end();
  };

  const whole = () => {
    const end = Math.max(1, state.connection.seconds * 1e6);
    return [-end * 0.01, end * 1.01];
  };
  function look(from, to) {
    if (to - from < 0.5) return;
    const [low, high] = whole();
    state.x = [Math.max(low, from), Math.min(high, to)];
    if (state.x[1] <= state.x[0]) state.x = [low, high];
    draw();
  }
  function showAll() {
    sequence.zoomed = null;
    look(...whole());
  }

  const choose = () => {
    const connection = state.connection = data.connections[byId("connection").selectedIndex];
    const ways = byId("way");
    state.way = connection.ways[Math.max(0, ways.selectedIndex)];
    const counts = Object.entries(connection.counts).map(([name, count]) => `${count} ${name.replaceAll("_", " ")}`);
    const again = Object.entries(connection.causes).map(([cause, count]) => `${count} ${cause}`);
    byId("summary").textContent = [
      `opened: ${connection.opening}`, `ended: ${connection.closing}`, `${connection.packets} segments`,
      again.length ? `sent again: ${again.join(", ")}` : "", counts.join(", "),
      state.way.cut ? `the first ${data.points} segments are drawn, ${state.way.cut} are not` : "",
    ].filter(Boolean).join(" · ");
    byId("sure").textContent = state.way.ct.length ? `${state.way.sure} of 100 samples are the window, the others a lower bound` : "";
    byId("stalls").replaceChildren(...connection.stalls.map(([start, length, cause, reason]) => {
      const item = document.createElement("li");
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = `${span(length)} at ${span(start)}`;
      button.addEventListener("click", () => look(start - length * 0.2, start + length * 1.2));
      item.append(button, ` · ${cause}: ${reason}`);
      return item;
    }));
    if (!connection.stalls.length) byId("stalls").append("none");
    byId("passages").replaceChildren(...connection.passages.map(([title, words]) => {
      const item = document.createElement("li"), name = document.createElement("b");
      name.textContent = title;
      item.append(name, `: ${words}`);
      return item;
    }));
    byId("between").hidden = !connection.passages.length;
    showAll();
  };

  const option = (text) => Object.assign(document.createElement("option"), { textContent: text });
  const offerWays = () => {
    const connection = data.connections[byId("connection").selectedIndex];
    const [up, down] = connection.ways;
    byId("way").replaceChildren(option(`from the client, ${short(up.bytes)} bytes`), option(`from the server, ${short(down.bytes)} bytes`));
    byId("way").selectedIndex = down.bytes > up.bytes ? 1 : 0;
    choose();
  };
  const legend = [...data.kinds.map((kind, i) => [kind, colours[i]]), ["ACK", "ack"], ["window", "edge"], ["SACK", "sack"], ["stall", "stall"]];
  byId("legend").replaceChildren(...legend.map(([text, name]) => {
    const entry = document.createElement("span"), line = document.createElement("i");
    line.style.background = `var(--${name})`;
    if (name === "stall") line.style.height = "12px";
    entry.append(line, text);
    return entry;
  }));
  byId("connection").replaceChildren(...data.connections.map((each) => option(`${each.name} (${each.packets})`)));
  byId("connection").addEventListener("change", offerWays);
  byId("way").addEventListener("change", choose);
  byId("reset").addEventListener("click", showAll);
  sequence.canvas.addEventListener("keydown", (event) => {
    const [low, high] = state.x, middle = (low + high) / 2, half = (high - low) / 2;
    if (event.key === "+") look(middle - half / 1.5, middle + half / 1.5);
    else if (event.key === "-") look(middle - half * 1.5, middle + half * 1.5);
    else if (event.key === "ArrowLeft") look(low - half / 4, high - half / 4);
    else if (event.key === "ArrowRight") look(low + half / 4, high + half / 4);
    else if (event.key === "0") showAll();
    else return;
    event.preventDefault();
  });
  addEventListener("resize", draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  if (data.connections.length) offerWays();
})();
