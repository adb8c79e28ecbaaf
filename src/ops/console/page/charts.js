// Charts over the window of the snapshot: lines, or areas one on the other. Read with a pointer, or with the arrow keys.

import { clock, h, svg } from "./format.js";

const HEIGHT = 132;
const [TOP, RIGHT, BOTTOM, LEFT] = [8, 6, 20, 46];

/** What stands at the axis: round numbers, so no digits after the point that say nothing. */
const brief = (text) => text.replace(/(\.\d*?)0+(?!\d)/, "$1").replace(/\.(?!\d)/, "");

/** The next round number: the scale must not tremble with each sample. */
function ceiling(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 2.5, 5, 10].map((step) => step * power).find((top) => top >= value * 1.02) ?? 20 * power;
}

/**
 * A chart that is made once and told each new snapshot.
 * lines: [{name, values, kind}]; options: {format, stacked, least, most, marks: [{at, text}], decades: [from, to]}.
 */
export class Chart {
  constructor(label) {
    this.label = label;
    this.cursor = null;
    this.element = h("div", {
      class: "chart", tabindex: "0", role: "img",
      onkeydown: (event) => this.key(event),
      onpointermove: (event) => this.point(event),
      onpointerleave: () => this.move(null),
      onblur: () => this.move(null),
    });
    this.legend = h("ul", { class: "legend" });
    this.reading = h("p", { class: "reading", "aria-live": "polite" });
    new ResizeObserver(() => this.draw()).observe(this.element);
  }

  show(data) {
    this.data = data;
    this.draw();
  }

  key(event) {
    const most = this.data?.t.length - 1;
    const from = this.cursor ?? most + 1;
    const to = { ArrowLeft: from - 1, ArrowRight: from + 1, Home: 0, End: most, Escape: null }[event.key];
    if (to === undefined || !(most >= 0)) return;
    event.preventDefault();
    this.move(to === null ? null : Math.min(Math.max(to, 0), most));
  }

  point(event) {
    if (!this.data?.t.length) return;
    const box = this.element.getBoundingClientRect();
    const share = (event.clientX - box.left - LEFT) / (box.width - LEFT - RIGHT);
    const time = this.data.end - this.data.window + share * this.data.window;
    let best = 0;
    this.data.t.forEach((t, at) => { if (Math.abs(t - time) < Math.abs(this.data.t[best] - time)) best = at; });
    this.move(best);
  }

  move(to) {
    if (this.cursor === to) return;
    this.cursor = to;
    this.draw();
  }

  draw() {
    if (!this.data) return;
    const { t, lines, format, end, window, stacked = false, decades, least = 0, most = Infinity, marks = [], started } = this.data;
    const width = Math.max(this.element.clientWidth, 200);
    const shown = stacked ? stack(lines) : lines.map((line) => ({ ...line, base: null, top: line.values }));
    const highest = Math.max(least, ...shown.flatMap((line) => line.top.map((value) => value ?? 0)), ...marks.map((mark) => mark.always ? mark.at : 0));
    const top = decades ? decades[1] : Math.min(ceiling(highest), most);
    const x = (time) => LEFT + ((time - (end - window)) / window) * (width - LEFT - RIGHT);
    const up = decades ? (value) => Math.log(value / decades[0]) / Math.log(decades[1] / decades[0]) : (value) => value / top;
    const y = (value) => TOP + (1 - Math.min(Math.max(up(value), 0), 1)) * (HEIGHT - TOP - BOTTOM);
    const floor = HEIGHT - BOTTOM;
    const picture = svg("svg", { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, "aria-hidden": "true" });
    const ticks = decades ? [] : [0, top / 2, top];
    for (let tick = decades?.[0]; tick <= top * 1.001; tick *= 10) ticks.push(tick);
    ticks.forEach((tick, index) => picture.append(
      svg("line", { class: index ? "grid" : "axis", x1: LEFT, x2: width - RIGHT, y1: y(tick), y2: y(tick) }),
      svg("text", { class: "tick", x: LEFT - 6, y: y(tick) + 4, "text-anchor": "end" }, brief(format(tick)))));
    const minutes = window / 60e3;
    for (const share of width < 240 ? [1, 0] : [1, 0.5, 0]) {
      const at = x(end - share * window);
      const anchor = share === 1 ? "start" : share ? "middle" : "end";
      picture.append(svg("text", { class: "tick", x: at, y: HEIGHT - 5, "text-anchor": anchor }, share ? `−${minutes * share} min` : "now"));
    }
    if (started > end - window) {
      picture.append(
        svg("rect", { class: "before", x: LEFT, y: TOP, width: Math.max(0, x(started) - LEFT), height: floor - TOP }),
        svg("line", { class: "start", x1: x(started), x2: x(started), y1: TOP, y2: floor }));
      const room = x(started) - LEFT > 90;
      if (room) picture.append(svg("text", { class: "tick", x: x(started) - 5, y: TOP + 12, "text-anchor": "end" }, "process started"));
    }
    for (const mark of marks.filter((mark) => mark.at <= top)) {
      picture.append(
        svg("line", { class: "mark", x1: LEFT, x2: width - RIGHT, y1: y(mark.at), y2: y(mark.at) }),
        y(mark.at) > TOP + 12 && y(mark.at) < floor - 14 ? svg("text", { class: "tick", x: LEFT + 4, y: y(mark.at) - 4 }, mark.text) : "");
    }
    for (const line of shown) picture.append(...(stacked ? area(line, t, x, y, floor) : path(line, t, x, y)));
    const at = this.cursor === null ? null : Math.min(this.cursor, t.length - 1);
    if (at !== null && at >= 0) picture.append(svg("line", { class: "cursor", x1: x(t[at]), x2: x(t[at]), y1: TOP, y2: floor }));
    this.element.replaceChildren(picture);
    const index = at ?? t.length - 1;
    this.legend.replaceChildren(...lines.map((line) => h("li", {},
      svg("svg", { class: "key", width: 18, height: 8, "aria-hidden": "true" }, stacked ? svg("rect", { class: `area ${line.kind}`, x: 3, y: 0, width: 12, height: 8 }) : svg("line", { class: `line ${line.kind}`, x1: 1, x2: 17, y1: 4, y2: 4 })),
      h("span", {}, line.name), h("b", {}, format(line.values[index] ?? null)))));
    this.reading.textContent = at === null ? "" : `at ${clock(t[at])}`;
    const now = lines.map((line) => `${line.name} ${format(line.values[t.length - 1] ?? null)}`).join(", ");
    this.element.setAttribute("aria-label", `${this.label}, now: ${now}. Arrow keys read earlier values.`);
  }
}

function stack(lines) {
  let base = null;
  return lines.map((line) => {
    const below = base;
    const top = line.values.map((value, at) => (value ?? 0) + (below ? below[at] : 0));
    base = top;
    return { ...line, base: below, top };
  });
}

function area(line, t, x, y, floor) {
  if (!t.length || !line.values.some((value) => value > 0)) return [];
  const up = t.map((time, at) => `${x(time).toFixed(1)},${y(line.top[at]).toFixed(1)}`);
  const down = t.map((time, at) => `${x(time).toFixed(1)},${(line.base ? y(line.base[at]) : floor).toFixed(1)}`).reverse();
  // No outline: where there is nothing of a kind, its line would still lie on top of the others.
  return [svg("polygon", { class: `area ${line.kind}`, points: [...up, ...down].join(" ") })];
}

/** What is unknown is a gap, and a value alone between two gaps a dot. */
function path(line, t, x, y) {
  const runs = [];
  let run = null;
  line.values.forEach((value, at) => {
    if (value === null || value === undefined) run = null;
    else {
      if (!run) runs.push(run = []);
      run.push([x(t[at]), y(value)]);
    }
  });
  return runs.map((points) => points.length === 1
    ? svg("circle", { class: `dot ${line.kind}`, cx: points[0][0], cy: points[0][1], r: 1.8 })
    : svg("polyline", { class: `line ${line.kind}`, points: points.map((point) => point.map((value) => value.toFixed(1)).join(",")).join(" ") }));
}
