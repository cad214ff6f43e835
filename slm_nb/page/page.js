"use strict";
// The page: reads the files of a run, draws what the model computes, and reacts to the reader.

const SLICE = 12; // milliseconds of computing, after which the page may draw and react
const N_BARS = 10;
const N_LENS = 3;
const MOST_HISTORY = 200;
const FIRST_STORY =
  "Once upon a time, there was a tiny fox named Max. He had a red ball. One sunny day, it was " +
  'lost at the park. "Where is my ball?" he';

const $ = (id) => document.getElementById(id);
const docs = document.documentElement.dataset.docs;

// An element with attributes and children; text is always text, never HTML.
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

function makeSvg(tag, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) {
    element.setAttribute(name, value);
  }
  return element;
}

const number = (x, digits = 2) => x.toFixed(digits);
const percent = (p) =>
  p >= 0.001 || p === 0 ? `${(100 * p).toFixed(1)}%` : "<0.1%";

// Let the browser draw and handle events; unlike a timer it doesn't wait for milliseconds.
const channel = new MessageChannel();
const waiting = [];
channel.port1.onmessage = () => waiting.shift()();
function pause() {
  return new Promise((resolve) => {
    waiting.push(resolve);
    channel.port2.postMessage(null);
  });
}

// ---- What the page shows ----

const page = {
  model: null, // the Model shown
  tokenizer: null,
  book: null, // the Storybook, if the run was trained on it
  run: null, // config.json as read by readConfig
  snapshots: [], // {step, bytes or model}, the last one is the trained model
  ids: [], // end-of-text and the text's tokens
  history: [], // earlier ids, for undo
  nats: [], // surprisal of each token of the model's window
  natsIds: [], // the ids that they belong to
  baseline: null, // mean surprisal with nothing switched off
  truths: [], // what the grammar says before each token: {probs, isValid}
  truthIds: [],
  selected: 0, // position in ids
  layer: 0,
  head: 0,
  version: 0, // counts changes, so that an outdated computation ends
  generating: false,
};

const settings = () => ({
  temperature: Number($("temperature").value),
  topK: Number($("top-k").value),
  topP: Number($("top-p").value),
  minP: Number($("min-p").value),
});

// How a token is shown: · for a space, ⏎ for a newline, [end] for end-of-text.
function label(id) {
  if (id === page.tokenizer.endOfText) {
    return "[end]";
  }
  const bytes = page.tokenizer.bytes(id);
  if (bytes.length === 0) {
    return `[${id}]`;
  }
  const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  if (text.includes("\ufffd")) {
    return Array.from(
      bytes,
      (byte) => `\\x${byte.toString(16).padStart(2, "0")}`,
    ).join("");
  }
  return text.replaceAll(" ", "·").replaceAll("\n", "⏎");
}

// The first position that the model sees: it has a limited context window.
const windowStart = () =>
  Math.max(0, page.ids.length - page.model.config.block_size);

// ---- Computing, in slices ----

// Run a generator in slices. Returns false if something newer has begun meanwhile.
async function inSlices(steps, version) {
  let began = performance.now();
  for (const _ of steps) {
    if (performance.now() - began > SLICE) {
      await pause();
      if (version !== page.version) {
        return false;
      }
      began = performance.now();
    }
  }
  return version === page.version;
}

function* computeNats() {
  const model = page.model;
  const ids = model.ids;
  let same = 0;
  while (same < page.nats.length && page.natsIds[same] === ids[same]) {
    same++;
  }
  page.nats.length = same;
  page.natsIds = ids.slice();
  for (let t = same; t < ids.length; t++) {
    page.nats.push(t === 0 ? 0 : -logSoftmax(model.logits(t - 1))[ids[t]]);
    yield;
  }
}

function* computeTruths() {
  if (!page.book) {
    return;
  }
  let same = 0;
  while (same < page.truths.length && page.truthIds[same] === page.ids[same]) {
    same++;
  }
  page.truths.length = same;
  page.truthIds = page.ids.slice();
  const reader = new StoryReader(page.book, page.tokenizer);
  for (let t = 0; t < page.ids.length; t++) {
    reader.push(page.ids[t]);
    if (t >= same) {
      const probs = reader.nextTokens(); // of the token after position t
      page.truths.push({ probs, isValid: reader.isValid });
      yield;
    }
  }
}

const isAblated = () =>
  page.model.blocks.some((block) => block.off || block.headOff.some(Boolean));
const mean = (values) =>
  values.reduce((a, b) => a + b, 0) / Math.max(1, values.length);

// The loss of the text with nothing switched off.
function* computeBaseline() {
  const model = page.model;
  const switches = model.blocks.map((block) => [block.off, block.headOff]);
  const ids = page.ids.slice(-model.config.block_size);
  for (const block of model.blocks) {
    block.off = false;
    block.headOff = block.headOff.map(() => false);
  }
  model.reset();
  try {
    yield* model.process(ids);
    const nats = [];
    for (let t = 1; t < ids.length; t++) {
      nats.push(-logSoftmax(model.logits(t - 1))[ids[t]]);
      yield;
    }
    page.baseline = mean(nats);
  } finally {
    model.blocks.forEach((block, i) => ([block.off, block.headOff] = switches[i]));
    model.reset();
    page.nats = [];
  }
}

function* computeAll() {
  if (isAblated() && page.baseline === null) {
    yield* computeBaseline();
  }
  yield* page.model.process(page.ids);
  yield* computeNats();
  if (!isAblated()) {
    page.baseline = mean(page.nats.slice(1));
  }
  yield* computeTruths();
}

// Compute everything for the present text and draw it.
async function refresh() {
  const version = ++page.version;
  page.selected = Math.min(
    Math.max(page.selected, windowStart()),
    page.ids.length - 1,
  );
  if (isAblated()) {
    page.baseline = null;
  }
  const steps = computeAll();
  if (await inSlices(steps, version)) {
    draw();
  } else {
    steps.return(); // so that an interrupted baseline restores the switches
  }
}

// ---- Changing the text ----

function remember() {
  page.history.push(page.ids.slice());
  if (page.history.length > MOST_HISTORY) {
    page.history.shift();
  }
}

function setIds(ids) {
  page.ids = ids;
  page.selected = ids.length - 1;
  $("text").value = page.tokenizer.decode(ids.slice(1));
  return refresh();
}

function continueWith(id) {
  stop();
  remember();
  return setIds([...page.ids.slice(0, page.selected + 1), id]);
}

function undo() {
  stop();
  if (page.history.length) {
    return setIds(page.history.pop());
  }
}

const typed = () => [
  page.tokenizer.endOfText,
  ...page.tokenizer.encode($("text").value),
];

function onType() {
  stop();
  remember();
  page.ids = typed();
  page.selected = page.ids.length - 1;
  return refresh();
}

// Yields each new id, in slices.
async function* generateIds(ids, options) {
  const { maxNewTokens, seed, stopAtEnd, isStopped, ...sampling } = options;
  const model = page.model;
  const random = makeRandom(seed);
  let began = performance.now();
  for (let i = 0; i < maxNewTokens; i++) {
    for (const _ of model.process(ids)) {
      if (performance.now() - began > SLICE) {
        await pause();
        if (isStopped()) {
          return;
        }
        began = performance.now();
      }
    }
    const id = sampleToken(
      filterLogits(model.logits(model.ids.length - 1), sampling),
      random,
    );
    ids.push(id);
    yield id;
    if (stopAtEnd && id === page.tokenizer.endOfText) {
      return;
    }
  }
}

async function generate() {
  stop();
  remember();
  const version = ++page.version;
  page.generating = true;
  updateButtons();
  let drawn = performance.now();
  const options = {
    ...settings(),
    maxNewTokens: clamp($("max-new"), 60),
    seed: clamp($("seed"), 1),
    stopAtEnd: true,
    isStopped: () => version !== page.version,
  };
  const ids = page.ids.slice();
  for await (const _ of generateIds(ids, options)) {
    if (version !== page.version) {
      break;
    }
    if (performance.now() - drawn > 80) {
      page.ids = ids.slice();
      page.selected = ids.length - 1;
      $("text").value = page.tokenizer.decode(ids.slice(1));
      drawTokens();
      await pause();
      drawn = performance.now();
    }
  }
  if (version === page.version) {
    page.generating = false;
    await setIds(ids);
  }
}

// End a generation; what was generated so far stays.
function stop() {
  if (page.generating) {
    page.generating = false;
    page.version++;
    updateButtons();
  }
}

// End whatever is being computed.
function interrupt() {
  stop();
  page.version++;
}

function clamp(input, otherwise) {
  const value = Number(input.value);
  const isNumber = input.value !== "" && Number.isFinite(value);
  const valid = isNumber
    ? Math.min(Math.max(Math.round(value), input.min), input.max)
    : otherwise;
  input.value = valid;
  return Number(valid);
}

// ---- Drawing ----

function draw() {
  drawTokens();
  drawTokenInfo();
  drawChart();
  drawStatus();
  drawBars();
  drawHeads();
  drawMap();
  drawLens();
  updateButtons();
}

function updateButtons() {
  $("stop").disabled = !page.generating;
  $("undo").disabled = page.history.length === 0;
}

function natsOf(position) {
  const t = position - windowStart();
  return t >= 1 ? page.nats[t] : undefined;
}

function attentionRow() {
  const position = page.selected - windowStart();
  const row = page.model.attention[position];
  const at = (page.layer * page.model.config.n_head + page.head) * (position + 1);
  return row ? row.subarray(at, at + position + 1) : [];
}

const shading = () => document.querySelector("input[name=shade]:checked").value;

function drawTokens() {
  const start = windowStart();
  const weights = shading() === "attention" ? attentionRow() : null;
  const most = Math.log(page.model.config.vocab_size); // the surprisal of a uniform guess
  const hadFocus = $("tokens").contains(document.activeElement);
  const tokens = page.ids.map((id, position) => {
    const isSelected = position === page.selected;
    const nats = natsOf(position);
    const name = label(id);
    const element = make("span", {
      class: `token${position < start ? " before" : ""}`,
      role: "option",
      "aria-selected": isSelected,
      "aria-label":
        nats === undefined ? name : `${name}, surprisal ${number(nats)} nats`,
      tabindex: isSelected ? 0 : -1,
      "data-position": position,
    });
    element.textContent = name;
    const strength = nats === undefined ? 0 : Math.min(100, (150 * nats) / most);
    element.style.setProperty("--surprisal", strength);
    if (weights) {
      element.classList.add("attention");
      element.style.setProperty(
        "--weight",
        85 * Math.sqrt(weights[position - start] || 0),
      );
    }
    return element;
  });
  $("tokens").replaceChildren(...tokens);
  const chosen = $("tokens").children[page.selected];
  if (chosen && hadFocus) {
    chosen.focus();
  } else if (chosen && page.generating) {
    $("tokens").scrollTop = $("tokens").scrollHeight;
  }
}

function drawTokenInfo() {
  const position = page.selected;
  const id = page.ids[position];
  const info = $("token-info");
  info.replaceChildren(
    make("b", {}, label(id)),
    `: token ${id} at position ${position}`,
  );
  const nats = natsOf(position);
  if (nats !== undefined) {
    info.append(
      `; surprisal ${number(nats)} nats, probability ${percent(Math.exp(-nats))}`,
    );
  }
  const truth = page.truths[position - 1];
  if (truth && truth.probs.size) {
    const p = truth.probs.get(id) || 0;
    info.append(
      `; true probability ${percent(p)}; true entropy ${number(entropy(truth.probs))} nats`,
    );
  }
}

function drawChart() {
  const start = windowStart();
  const n = page.ids.length - 1 - start;
  const svg = makeSvg("svg", {
    viewBox: "0 0 600 110",
    preserveAspectRatio: "none",
    "aria-hidden": "true",
  });
  const heights = page.nats.slice(1);
  const truths = page.truths.slice(start, start + n);
  const entropies = truths.map(({ probs }) => (probs.size ? entropy(probs) : null));
  const top = Math.max(1, ...heights, ...entropies);
  const width = 600 / Math.max(n, 12);
  const y = (nats) => 100 - (92 * nats) / top;
  svg.append(makeSvg("line", { class: "axis", x1: 0, x2: 600, y1: 100, y2: 100 }));
  heights.forEach((nats, i) => {
    const isSelected = start + 1 + i === page.selected;
    const size = {
      x: i * width + width * 0.15,
      y: y(nats),
      width: width * 0.7,
      height: 100 - y(nats),
    };
    svg.append(
      makeSvg("rect", { class: isSelected ? "selected" : "model", ...size }),
    );
    if (entropies[i] !== null && entropies[i] !== undefined) {
      const at = y(entropies[i]);
      const ends = { x1: i * width, x2: (i + 1) * width, y1: at, y2: at };
      svg.append(makeSvg("line", { class: "true", ...ends }));
    }
  });
  $("chart").replaceChildren(svg);
  const loss = mean(heights);
  $("chart").setAttribute(
    "aria-label",
    `Surprisal of ${n} tokens, from 0 to ${number(top)} nats, mean ${number(loss)}`,
  );
  const legend = [
    make("span", { class: "key-model" }, "■"),
    ` surprisal of each token (the chart ends at ${number(top, 1)} nats)`,
  ];
  if (page.book) {
    legend.push(
      ", ",
      make("span", { class: "key-true" }, "▬"),
      " true entropy before it",
    );
  }
  $("legend").replaceChildren(...(n > 0 ? legend : []));
  drawLoss(loss, entropies, n);
}

function drawLoss(loss, entropies, n) {
  if (n < 1) {
    $("loss").textContent = "";
    return;
  }
  let text = `Loss of this text: ${number(loss, 3)} nats per token`;
  const known = entropies.length === n && entropies.every((each) => each !== null);
  if (known) {
    const start = windowStart();
    const surprisals = page.ids.slice(start + 1).map((id, i) => {
      return -Math.log(page.truths[start + i].probs.get(id) || 0);
    });
    text += `; mean true entropy: ${number(mean(entropies), 3)}`;
    if (surprisals.every(Number.isFinite)) {
      text += `; true surprisal: ${number(mean(surprisals), 3)}`;
    }
  }
  $("loss").textContent = `${text}.`;
}

function drawStatus() {
  const parts = [];
  const start = windowStart();
  parts.push(`${page.ids.length - 1} tokens`);
  if (start > 0) {
    parts.push(`the model sees the last ${page.model.config.block_size}`);
  }
  if (page.book) {
    parts.push(describeStory());
  }
  $("status").textContent = `${parts.join("; ")}.`;
}

// Whether the story so far is valid under the grammar.
function describeStory() {
  const wrong = page.truths.findIndex(({ isValid }) => !isValid);
  const end = page.tokenizer.endOfText;
  if (wrong >= 0) {
    return `not a story of the storybook: no story has “${label(page.ids[wrong])}” at position ${wrong}`;
  }
  const last = page.truths.at(-1);
  if (page.ids.length > 1 && page.ids.at(-1) === end) {
    const before = page.truths.at(-2);
    return before.probs.has(end)
      ? "a complete, valid story"
      : "not valid: the story ends too early";
  }
  if (last && last.probs.has(end)) {
    return "a complete, valid story; it can end here";
  }
  return "valid so far: the storybook has stories that begin like this";
}

function drawBars() {
  const t = page.selected - windowStart();
  const logits = page.model.logits(t);
  const sampling = settings();
  const kept = filterLogits(logits, sampling);
  // the light bars: temperature alone, and 1 instead of 0, where there would be a single bar
  const all = filterLogits(logits, { temperature: sampling.temperature || 1 });
  const truth = page.truths[page.selected];
  const order = topIndices(all, N_BARS);
  // the longest bar or mark fills the width
  const trueOf = (id) => (truth && truth.probs.get(id)) || 0;
  const longest = Math.max(
    ...order.map((id) => Math.max(all[id], kept[id], trueOf(id))),
  );
  const bars = order.map((id) => makeBar(id, all[id], kept[id], truth, longest));
  $("bars").replaceChildren(...bars);
  $("next-after").textContent = label(page.ids[page.selected]);
  const n = kept.reduce((count, p) => count + (p > 0 ? 1 : 0), 0);
  let note = `${n.toLocaleString("en")} of ${kept.length.toLocaleString("en")} tokens may be sampled.`;
  if (truth && truth.probs.size) {
    note += ` The orange marks are the true probabilities of the storybook; entropy ${number(entropy(truth.probs))} nats.`;
  }
  $("next-note").textContent = note;
}

// The indices of the n largest values, the largest first.
function topIndices(values, n) {
  const top = [];
  for (let i = 0; i < values.length; i++) {
    if (top.length === n && values[i] <= values[top[n - 1]]) {
      continue;
    }
    let place = top.length;
    while (place > 0 && values[i] > values[top[place - 1]]) {
      place--;
    }
    top.splice(place, 0, i);
    top.length = Math.min(top.length, n);
  }
  return top;
}

function makeBar(id, p, kept, truth, longest) {
  const bar = make("span", { class: "bar" });
  const add = (name, width) => {
    const part = make("span", { class: name });
    part.style.setProperty("--p", width / longest);
    bar.append(part);
  };
  add("all", p);
  add("kept", kept);
  const isTrue = truth && truth.probs.size > 0;
  if (isTrue) {
    add("truth", truth.probs.get(id) || 0);
  }
  const isExcluded = kept === 0;
  let text = `probability ${percent(isExcluded ? p : kept)}`;
  if (isTrue) {
    text += `, true probability ${percent(truth.probs.get(id) || 0)}`;
  }
  if (isExcluded) {
    text += ", excluded";
  }
  const button = make(
    "button",
    {
      type: "button",
      "data-id": id,
      "aria-label": `continue with ${label(id)}, ${text}`,
      class: isExcluded ? "excluded" : "included",
    },
    make("span", { class: "label" }, label(id)),
    bar,
    make(
      "span",
      { class: "number" },
      isExcluded ? `${percent(p)} excluded` : percent(kept),
    ),
  );
  return make("li", {}, button);
}

// The colour of a weight: an opacity of the accent colour.
function accent() {
  const color = getComputedStyle(document.documentElement)
    .getPropertyValue("--accent")
    .trim();
  return [1, 3, 5].map((i) => parseInt(color.slice(i, i + 2), 16));
}

function paintMap(canvas, rows, rgb) {
  const T = rows.length;
  canvas.width = T;
  canvas.height = T;
  const image = new ImageData(T, T);
  for (let t = 0; t < T; t++) {
    for (let k = 0; k <= t; k++) {
      const at = 4 * (t * T + k);
      image.data[at] = rgb[0];
      image.data[at + 1] = rgb[1];
      image.data[at + 2] = rgb[2];
      image.data[at + 3] = 255 * Math.sqrt(rows[t][k]); // so that small weights are visible
    }
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

// The small maps exist once for a model; drawHeads paints them.
function buildHeads() {
  const { n_layer: L, n_head: H } = page.model.config;
  const heads = $("heads");
  heads.style.gridTemplateColumns = `auto repeat(${H}, auto)`;
  heads.replaceChildren();
  for (let layer = 0; layer < L; layer++) {
    const tick = make("input", {
      type: "checkbox",
      checked: "",
      "data-block": layer,
    });
    heads.append(make("label", { class: "block" }, tick, ` block ${layer}`));
    for (let head = 0; head < H; head++) {
      const canvas = make("canvas", { "aria-hidden": "true" });
      const place = { "data-layer": layer, "data-head": head };
      const name = `layer ${layer}, head ${head}`;
      const button = make(
        "button",
        { type: "button", "aria-label": name, ...place },
        canvas,
      );
      const box = make("input", {
        type: "checkbox",
        checked: "",
        "aria-label": `${name} is on`,
        ...place,
      });
      heads.append(
        make("div", { class: "head" }, button, make("label", {}, box, ` ${head}`)),
      );
    }
  }
}

function drawHeads() {
  const rgb = accent();
  for (const button of $("heads").querySelectorAll("button")) {
    const layer = Number(button.dataset.layer);
    const head = Number(button.dataset.head);
    const block = page.model.blocks[layer];
    const isOff = block.off || block.headOff[head];
    button.parentElement.classList.toggle("off", isOff);
    button.setAttribute("aria-pressed", layer === page.layer && head === page.head);
    paintMap(button.firstChild, page.model.attentionMap(layer, head), rgb);
  }
  drawAblation();
}

function drawAblation() {
  if (!isAblated()) {
    $("ablation").textContent = "";
    return;
  }
  const loss = mean(page.nats.slice(1));
  const change = loss - page.baseline;
  const sign = change >= 0 ? "+" : "−";
  $("ablation").textContent =
    `Loss of the text: ${number(page.baseline, 3)} with everything on, ${number(loss, 3)} now ` +
    `(${sign}${number(Math.abs(change), 3)} nats per token).`;
}

function drawMap(hovered = null) {
  const canvas = $("map");
  const rows = page.model.attentionMap(page.layer, page.head);
  const T = rows.length;
  const start = windowStart();
  const size = Math.max(240, Math.min(480, canvas.parentElement.clientWidth));
  const scale = window.devicePixelRatio || 1;
  canvas.width = size * scale;
  canvas.height = size * scale;
  canvas.style.height = `${size}px`;
  canvas.style.width = `${size}px`;
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  const colors = getComputedStyle(document.documentElement);
  const color = (name) => colors.getPropertyValue(name).trim();
  const hasLabels = T <= 32;
  const margin = hasLabels ? 72 : 4;
  const cell = (size - margin - 4) / Math.max(T, 4);
  page.mapShape = { margin, cell, T };
  const names = page.ids.slice(start).map((id) => label(id).slice(0, 9));
  context.font = `${Math.min(12, Math.max(8, cell - 1))}px ui-monospace, monospace`;
  context.textBaseline = "middle";
  const selected = page.selected - start;
  rows.forEach((row, t) => {
    row.forEach((weight, k) => {
      context.globalAlpha = 0.04 + 0.96 * Math.sqrt(weight);
      context.fillStyle = color("--accent");
      context.fillRect(
        margin + k * cell,
        margin + t * cell,
        cell - (cell > 5 ? 1 : 0),
        cell - (cell > 5 ? 1 : 0),
      );
    });
  });
  context.globalAlpha = 1;
  context.fillStyle = color("--text");
  if (hasLabels) {
    context.textAlign = "right";
    names.forEach((name, t) =>
      context.fillText(name, margin - 4, margin + (t + 0.5) * cell),
    );
    context.textAlign = "left";
    names.forEach((name, k) => {
      context.save();
      context.translate(margin + (k + 0.5) * cell, margin - 4);
      context.rotate(-Math.PI / 2);
      context.fillText(name, 0, 0);
      context.restore();
    });
  }
  context.strokeStyle = color("--text");
  context.lineWidth = 1.5;
  context.strokeRect(margin, margin + selected * cell, (selected + 1) * cell, cell);
  drawMapInfo(rows, hovered);
}

function drawMapInfo(rows, hovered) {
  const start = windowStart();
  const query = hovered ? hovered.t : page.selected - start;
  const row = Array.from(rows[query] || []);
  const name = (t) => `“${label(page.ids[start + t])}”`;
  const most = topIndices(row, 3).map((k) => `${name(k)} (${percent(row[k])})`);
  let text = `Layer ${page.layer}, head ${page.head}: ${name(query)} attends most to ${most.join(", ")}.`;
  if (hovered) {
    text += ` To ${name(hovered.k)} at position ${start + hovered.k}: ${percent(row[hovered.k])}.`;
  }
  $("map-info").textContent = text;
  $("map").setAttribute("aria-label", `Attention map. ${text}`);
}

function drawLens() {
  const t = page.selected - windowStart();
  const next = page.ids[page.selected + 1];
  const head = make("tr", {}, make("td"));
  for (let rank = 1; rank <= N_LENS; rank++) {
    head.append(make("th", { scope: "col" }, `rank ${rank}`));
  }
  if (next !== undefined) {
    const follows = make("span", { class: "label" }, label(next));
    head.append(make("th", { scope: "col" }, "what follows: ", follows));
  }
  const rows = [];
  for (let depth = 0; depth <= page.model.config.n_layer; depth++) {
    const name = depth ? `after block ${depth - 1}` : "before block 0";
    const row = make("tr", {}, make("th", { scope: "row" }, name));
    const probs = softmax(page.model.logits(t, depth));
    for (const id of topIndices(probs, N_LENS)) {
      const token = make("span", { class: "label" }, label(id));
      const p = make("span", { class: "number" }, percent(probs[id]));
      row.append(
        make("td", { class: id === next ? "right" : "other" }, token, " ", p),
      );
    }
    if (next !== undefined) {
      row.append(make("td", {}, percent(probs[next])));
    }
    rows.push(row);
  }
  $("lens").replaceChildren(make("thead", {}, head), make("tbody", {}, ...rows));
  $("lens-after").textContent = label(page.ids[page.selected]);
}

// ---- Files ----

function fromBase64(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < bytes.length; i++) {
    bytes[i] = binary.charCodeAt(i);
  }
  return bytes;
}

async function decompress(bytes) {
  const stream = new Blob([bytes])
    .stream()
    .pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// Undo embed_file's splitting: all first bytes of the numbers, then all second bytes, ...
function joinPlanes(bytes, n) {
  const joined = new Uint8Array(bytes.length);
  let from = 0;
  for (let plane = 0; plane < n; plane++) {
    for (let i = plane; i < joined.length; i += n) {
      joined[i] = bytes[from];
      from++;
    }
  }
  return joined;
}

// The files that the page was written with: name -> bytes.
async function embeddedFiles() {
  const files = new Map();
  for (const element of document.querySelectorAll("script[data-file]")) {
    const packed = fromBase64(element.textContent.trim());
    const content = await decompress(packed);
    files.set(
      element.dataset.file,
      joinPlanes(content, Number(element.dataset.planes)),
    );
    element.remove();
  }
  const names = JSON.parse(document.documentElement.dataset.files);
  for (const name of names) {
    let response;
    try {
      response = await fetch(name);
    } catch (error) {
      throw new Error(
        "this page's model is in files beside it: serve the folder with python -m http.server",
      );
    }
    if (!response.ok) {
      throw new Error(`${name} is missing beside this page`);
    }
    files.set(name, new Uint8Array(await response.arrayBuffer()));
  }
  return files;
}

function compileKernel(bytes) {
  try {
    return bytes && WebAssembly.validate(bytes)
      ? new WebAssembly.Module(bytes)
      : null;
  } catch (error) {
    return null; // no WebAssembly, or no SIMD: plain JavaScript gives the same numbers
  }
}

// Show the run in these files: a Map of name -> bytes.
async function openRun(files, name) {
  for (const needed of ["config.json", "tokenizer.json", "model.safetensors"]) {
    if (!files.has(needed)) {
      throw new Error(
        `${needed} is missing: choose the folder of a run that has saved a model`,
      );
    }
  }
  const run = readConfig(files.get("config.json"));
  const tokenizer = new Tokenizer(
    parseObject(files.get("tokenizer.json"), "tokenizer.json"),
  );
  if (tokenizer.size !== run.model.vocab_size) {
    throw new Error(
      `tokenizer.json belongs to another run: it has ${tokenizer.size} tokens, the model's vocab_size is ${run.model.vocab_size}`,
    );
  }
  const build = (bytes, file) =>
    new Model(run.model, readWeights(bytes, run.model, file, run.id), page.wasm);
  const model = build(files.get("model.safetensors"), "model.safetensors");
  const snapshots = [];
  for (const [file, bytes] of files) {
    const match = /^(?:snapshots\/)?snapshot-(\d{1,9})\.safetensors$/.exec(file);
    if (match) {
      const step = Number(match[1]);
      snapshots.push({
        step,
        name: `step ${step}`,
        model: () => build(bytes, file),
      });
    }
  }
  snapshots.sort((a, b) => a.step - b.step);
  const untrained = () => new Model(run.model, randomWeights(run.model), page.wasm);
  snapshots.unshift({
    name: "untrained, with new random weights",
    model: untrained,
  });
  snapshots.push({ name: "trained", model: () => model });
  interrupt();
  const book =
    run.entropyFloor !== null && page.storybook
      ? new Storybook(page.storybook)
      : null;
  Object.assign(page, { run, tokenizer, book, model, snapshots, history: [] });
  Object.assign(page, { nats: [], truths: [], baseline: null });
  page.layer = run.model.n_layer - 1;
  page.head = run.model.n_head - 1;
  showRun(name);
}

function showRun(name) {
  const { config } = page.model;
  let text = `${name}: ${describeSize(page.model)}, ${config.n_layer} blocks with ${config.n_head} heads, vocabulary of ${config.vocab_size.toLocaleString("en")} tokens, context window of ${config.block_size}`;
  if (page.run.entropyFloor !== null) {
    text += `; the entropy of its training text is ${number(page.run.entropyFloor, 3)} nats per token`;
  }
  $("about").textContent = `${text}.`;
  const slider = $("snapshot");
  slider.max = page.snapshots.length - 1;
  slider.value = page.snapshots.length - 1;
  $("snapshot-step").textContent = "trained";
  buildHeads();
}

function describeSize(model) {
  const placed = [...expectedTensors(model.config).values()];
  const n = placed.reduce((sum, shape) => sum + shape.reduce((a, b) => a * b), 0);
  return `${n.toLocaleString("en")} parameters`;
}

function chooseSnapshot() {
  const snapshot = page.snapshots[Number($("snapshot").value)];
  stop();
  const model = snapshot.model();
  snapshot.model = () => model; // built once
  model.blocks.forEach((block, i) => {
    block.off = page.model.blocks[i].off;
    block.headOff = page.model.blocks[i].headOff.slice();
  });
  model.reset();
  page.model = model;
  page.nats = [];
  page.baseline = null;
  $("snapshot-step").textContent = snapshot.name;
  $("snapshot").setAttribute("aria-valuetext", snapshot.name);
  return refresh();
}

// The files of a folder that was picked or dropped, with names relative to it.
async function readChosen(entries) {
  const files = new Map();
  const config = entries.filter(({ path }) => path.at(-1) === "config.json");
  config.sort((a, b) => a.path.length - b.path.length);
  const root = config.length ? config[0].path.slice(0, -1).join("/") : "";
  for (const { path, file } of entries) {
    const name = path.join("/");
    const relative =
      root && name.startsWith(`${root}/`) ? name.slice(root.length + 1) : name;
    const isWanted =
      /^(config\.json|tokenizer\.json|model\.safetensors|snapshots\/snapshot-\d{1,9}\.safetensors)$/;
    if (isWanted.test(relative)) {
      if (file.size > 2 ** 31) {
        throw new Error(`${relative} is too large for a page`);
      }
      files.set(relative, new Uint8Array(await file.arrayBuffer()));
    }
  }
  const folder = root ? root.split("/").at(-1) : "your run";
  return { files, folder };
}

async function openChosen(entries) {
  try {
    const { files, folder } = await readChosen(entries);
    await openRun(files, folder);
    showError("");
    $("load").hidden = true;
    $("load-open").setAttribute("aria-expanded", "false");
    await setIds(typed());
  } catch (error) {
    showError(error.message);
  }
}

// All files of a dropped folder.
async function listEntry(entry, path = []) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) =>
      entry.file(resolve, reject),
    );
    return [{ path: [...path, entry.name], file }];
  }
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const entries = await new Promise((resolve, reject) =>
      reader.readEntries(resolve, reject),
    );
    if (!entries.length) {
      return found;
    }
    for (const each of entries) {
      if (path.length < 2) {
        found.push(...(await listEntry(each, [...path, entry.name])));
      }
    }
  }
}

async function onDrop(event) {
  event.preventDefault();
  document.body.classList.remove("drop");
  const entries = Array.from(event.dataTransfer.items, (item) =>
    item.webkitGetAsEntry(),
  );
  const found = [];
  for (const entry of entries.filter(Boolean)) {
    found.push(...(await listEntry(entry)));
  }
  await openChosen(found);
}

function showError(message) {
  $("error").hidden = !message;
  $("error").textContent = message;
}

// ---- A link that contains text and settings ----

const LINKED = ["temperature", "top-k", "top-p", "min-p", "seed", "max-new"];

function makeLink() {
  const parts = new URLSearchParams();
  parts.set("text", $("text").value);
  for (const id of LINKED) {
    parts.set(id, $(id).value);
  }
  parts.set("layer", page.layer);
  parts.set("head", page.head);
  return `#${parts}`;
}

function readLink() {
  const parts = new URLSearchParams(location.hash.slice(1));
  if (!parts.has("text")) {
    return false;
  }
  $("text").value = parts.get("text").slice(0, 4000);
  for (const id of LINKED) {
    const value = Number(parts.get(id));
    if (parts.has(id) && Number.isFinite(value)) {
      $(id).value = Math.min(Math.max(value, $(id).min), $(id).max);
    }
  }
  const { n_layer: L, n_head: H } = page.model.config;
  const place = (name, n) =>
    Math.min(Math.max(Math.floor(Number(parts.get(name))) || 0, 0), n - 1);
  page.layer = place("layer", L);
  page.head = place("head", H);
  return true;
}

async function copyLink() {
  const link = makeLink();
  try {
    history.replaceState(null, "", link);
  } catch (error) {
    location.hash = link; // inside an iframe there may be no history
  }
  try {
    await navigator.clipboard.writeText(location.href);
    $("status").textContent =
      "The link is copied: it contains your text and settings.";
  } catch (error) {
    $("status").textContent =
      "The address of this page now contains your text and settings.";
  }
}

// ---- The guided tour ----

const tour = { step: 0, shown: null };

function showTour(step) {
  endHighlight();
  tour.step = step;
  const { title, text, at, page: where, chapter } = TOUR[step];
  $("tour").hidden = false;
  $("tour-title").textContent = title;
  $("tour-text").textContent = text;
  $("tour-link").textContent = `Chapter: ${chapter}`;
  $("tour-link").href = `${docs}/${where}.html`;
  $("tour-count").textContent = `${step + 1} of ${TOUR.length}`;
  $("tour-back").disabled = step === 0;
  $("tour-next").textContent = step + 1 < TOUR.length ? "Next" : "Finish";
  tour.shown = $(at);
  tour.shown.classList.add("shown");
  tour.shown.scrollIntoView({ block: "center" });
  $("tour").focus({ preventScroll: true });
}

function endHighlight() {
  if (tour.shown) {
    tour.shown.classList.remove("shown");
    tour.shown = null;
  }
}

function endTour() {
  endHighlight();
  $("tour").hidden = true;
  $("tour-start").focus();
}

// ---- Events ----

// After another script has used the model, it has to process the page's text again.
function catchUp() {
  page.model.processAll(page.ids);
}

function select(position) {
  catchUp();
  page.selected = Math.min(Math.max(position, windowStart()), page.ids.length - 1);
  drawTokens();
  drawTokenInfo();
  drawChart();
  drawBars();
  drawMap();
  drawLens();
}

function showSampling() {
  const { temperature, topK, topP, minP } = settings();
  const texts = {
    temperature: number(temperature),
    "top-k": topK ? String(topK) : "all",
  };
  Object.assign(texts, {
    "top-p": topP < 1 ? number(topP) : "all",
    "min-p": minP ? number(minP) : "all",
  });
  for (const output of $("sampling").querySelectorAll("output")) {
    const id = output.htmlFor.value;
    output.textContent = texts[id];
    $(id).setAttribute("aria-valuetext", texts[id]);
  }
}

function onTokenKey(event) {
  const moves = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 8, ArrowUp: -8 };
  let position = page.selected + (moves[event.key] || 0);
  if (event.key === "Home") {
    position = windowStart();
  } else if (event.key === "End") {
    position = page.ids.length - 1;
  }
  if (position !== page.selected) {
    event.preventDefault();
    select(position);
    $("tokens").children[page.selected].focus();
  }
}

function onHeadChange(event) {
  const { layer, head, block } = event.target.dataset;
  const isOff = !event.target.checked;
  if (block !== undefined) {
    page.model.blocks[block].off = isOff;
  } else {
    page.model.blocks[layer].headOff[head] = isOff;
  }
  stop();
  page.model.reset();
  page.nats = [];
  return refresh();
}

function onMapMove(event) {
  const box = $("map").getBoundingClientRect();
  const { margin, cell, T } = page.mapShape;
  const k = Math.floor((event.clientX - box.left - margin) / cell);
  const t = Math.floor((event.clientY - box.top - margin) / cell);
  if (t >= 0 && t < T && k >= 0 && k <= t) {
    drawMapInfo(page.model.attentionMap(page.layer, page.head), { t, k });
    return { t, k };
  }
  return null;
}

function listen() {
  $("text").addEventListener("input", onType);
  $("generate").addEventListener("click", generate);
  $("stop").addEventListener("click", () => {
    stop();
    refresh();
  });
  $("undo").addEventListener("click", undo);
  $("clear").addEventListener("click", () => {
    stop();
    remember();
    setIds([page.tokenizer.endOfText]);
    $("text").focus();
  });
  $("link").addEventListener("click", copyLink);
  $("snapshot").addEventListener("input", chooseSnapshot);
  $("tokens").addEventListener("click", (event) => {
    const token = event.target.closest(".token");
    if (token) {
      select(Number(token.dataset.position));
      $("tokens").children[page.selected].focus();
    }
  });
  $("tokens").addEventListener("keydown", onTokenKey);
  for (const input of document.querySelectorAll("input[name=shade]")) {
    input.addEventListener("change", drawTokens);
  }
  $("sampling").addEventListener("input", () => {
    catchUp();
    showSampling();
    drawBars();
  });
  $("bars").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) {
      continueWith(Number(button.dataset.id));
    }
  });
  $("heads").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) {
      page.layer = Number(button.dataset.layer);
      page.head = Number(button.dataset.head);
      catchUp();
      drawHeads();
      drawMap();
      drawTokens();
    }
  });
  $("heads").addEventListener("change", onHeadChange);
  $("map").addEventListener("pointermove", onMapMove);
  $("map").addEventListener("pointerleave", () => drawMap());
  $("map").addEventListener("click", (event) => {
    const at = onMapMove(event);
    if (at) {
      select(windowStart() + at.t);
    }
  });
  $("load-open").addEventListener("click", () => {
    $("load").hidden = !$("load").hidden;
    $("load-open").setAttribute("aria-expanded", String(!$("load").hidden));
  });
  for (const id of ["load-folder", "load-files"]) {
    $(id).addEventListener("change", () => {
      const entries = Array.from($(id).files, (file) => ({
        path: (file.webkitRelativePath || file.name).split("/"),
        file,
      }));
      openChosen(entries);
    });
  }
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("drop");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) {
      document.body.classList.remove("drop");
    }
  });
  document.addEventListener("drop", onDrop);
  $("tour-start").addEventListener("click", () => showTour(0));
  $("tour-back").addEventListener("click", () => showTour(tour.step - 1));
  $("tour-next").addEventListener("click", () => {
    if (tour.step + 1 < TOUR.length) {
      showTour(tour.step + 1);
    } else {
      endTour();
    }
  });
  $("tour-end").addEventListener("click", endTour);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      if (!$("tour").hidden) {
        endTour();
      }
      stop();
    }
  });
  window.addEventListener("resize", () => drawMap());
  window.addEventListener("hashchange", () => {
    if (readLink()) {
      showSampling();
      setIds(typed());
    }
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}

// ---- What other scripts and the tests use ----

const plain = (values) => Array.from(values);

const slm = {
  // the ids of a text, starting with end-of-text
  encode: (text) => [page.tokenizer.endOfText, ...page.tokenizer.encode(text)],
  decode: (ids) => page.tokenizer.decode(ids),
  // logits of the token after the last id
  logits(ids) {
    if (ids.length === 0) {
      throw new Error("logits needs at least one id");
    }
    interrupt(); // a computation of the page would mix its tokens with these
    page.model.processAll(ids);
    return plain(page.model.logits(page.model.ids.length - 1));
  },
  // the prompt and its continuation
  async generate(text, options = {}) {
    const {
      maxNewTokens = 200,
      temperature = 0.8,
      topK = 0,
      topP = 1,
      minP = 0,
    } = options;
    const { seed = 1, stopAtEnd = true } = options;
    interrupt();
    const ids = slm.encode(text);
    const sampling = { temperature, topK, topP, minP, seed };
    const all = { maxNewTokens, stopAtEnd, isStopped: () => false, ...sampling };
    for await (const _ of generateIds(ids, all));
    return { ids, text: page.tokenizer.decode(ids) };
  },
  // attention weights of the last ids, (T, T)
  attention(layer, head) {
    const rows = page.model.attentionMap(layer, head);
    return rows.map((row) => [
      ...row,
      ...new Array(rows.length - row.length).fill(0),
    ]);
  },
  // log-probabilities of the next token before the first block and after each, (n_layer + 1, V)
  lens(position = page.model.ids.length - 1) {
    const depths = Array.from(
      { length: page.model.config.n_layer + 1 },
      (_, depth) => depth,
    );
    return depths.map((depth) =>
      plain(logSoftmax(page.model.logits(position, depth))),
    );
  },
  kernel: () => (page.model.kernel.wasm ? "wasm" : "javascript"),
  page,
};

async function start() {
  $("about-link").href = `${docs}/web.html`;
  const files = await embeddedFiles();
  page.wasm =
    location.hash === "#javascript"
      ? null
      : compileKernel(files.get("matvec.wasm"));
  const storybook = files.get("storybook.txt");
  page.storybook = storybook ? new TextDecoder().decode(storybook) : null;
  await openRun(files, document.title.split(":")[0]);
  listen();
  if (!readLink()) {
    $("text").value = page.book ? FIRST_STORY : "Once upon a time";
  }
  showSampling();
  await setIds(typed());
  slm.readySeconds = performance.now() / 1000;
}

slm.ready = start();
slm.ready.catch((error) => showError(error.message));
globalThis.slm = slm;
