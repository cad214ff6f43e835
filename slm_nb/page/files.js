"use strict";
// Reading the files of a run. They may come from anywhere, so everything in them is checked.

const MOST_NUMBERS = 500e6; // weights, keys and values: more would not fit into a page's memory

function parseObject(bytes, name) {
  let content;
  try {
    content = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw new Error(`${name} is damaged: it isn't valid JSON`);
  }
  if (content === null || typeof content !== "object" || Array.isArray(content)) {
    throw new Error(`${name} is damaged: it must hold a JSON object`);
  }
  return content;
}

// The config.json of a run: the sizes of the model, and what else the page shows.
function readConfig(bytes) {
  const content = parseObject(bytes, "config.json");
  const model = content.model;
  if (model === null || typeof model !== "object") {
    throw new Error('config.json: "model" is missing');
  }
  const config = {};
  for (const name of ["vocab_size", "block_size", "n_layer", "n_head", "n_embd"]) {
    const largest = name === "n_layer" ? 1000 : 1e6;
    const value = model[name];
    if (!Number.isSafeInteger(value) || value < 1 || value > largest) {
      const range = `from 1 to ${largest.toLocaleString("en")}`;
      throw new Error(`config.json: ${name} must be a whole number ${range}`);
    }
    config[name] = value;
  }
  if (config.n_embd % config.n_head !== 0) {
    throw new Error(`config.json: n_embd must be a multiple of n_head`);
  }
  if (typeof model.bias !== "boolean") {
    throw new Error("config.json: bias must be true or false");
  }
  if (model.activation !== "gelu" && model.activation !== "gelu_tanh") {
    throw new Error("config.json: activation must be gelu or gelu_tanh");
  }
  config.bias = model.bias;
  config.activation = model.activation;
  if (countNumbers(config) > MOST_NUMBERS) {
    throw new Error("config.json: the model is too large for a page");
  }
  const floor = content.entropy_floor;
  const isKnown = typeof floor === "number" && Number.isFinite(floor) && floor >= 0;
  const id = typeof content.id === "string" ? content.id : null;
  return { model: config, entropyFloor: isKnown ? floor : null, id };
}

// The tokens of a tokenizer.json, each as a string with one character per byte.
function checkTokenizer(content) {
  const fail = (reason) => {
    throw new Error(`tokenizer.json is not a valid tokenizer: ${reason}`);
  };
  if (!KNOWN_PATTERNS.includes(content.pattern)) {
    fail("its pattern must be GPT-2's");
  }
  if (!Array.isArray(content.ranks) || content.ranks.length > 1e6) {
    fail("ranks must be a list of at most 1,000,000 tokens");
  }
  const tokens = content.ranks.map((token) => {
    if (
      typeof token !== "string" ||
      !/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(
        token,
      )
    ) {
      fail("a token is not in base64");
    }
    return atob(token);
  });
  const known = new Set(tokens);
  if (known.size !== tokens.length || known.has("")) {
    fail("a token is empty or occurs twice");
  }
  for (let byte = 0; byte < 256; byte++) {
    if (!known.has(String.fromCharCode(byte))) {
      fail("a byte has no token");
    }
  }
  const special = content.special_tokens;
  if (
    special === null ||
    typeof special !== "object" ||
    !Object.hasOwn(special, END_OF_TEXT)
  ) {
    fail(`${END_OF_TEXT} is missing`);
  }
  const ids = Object.values(special).sort((a, b) => a - b);
  if (!ids.every((id, i) => id === tokens.length + i)) {
    fail("the ids of the special tokens don't follow those of the others");
  }
  return tokens;
}

// How many weights a model has, and how many keys and values its cache.
function countNumbers({ n_layer: L, n_embd: C, block_size: T, vocab_size: V }) {
  return (V + T) * C + L * (12 * C * C + 13 * C) + 2 * L * T * C;
}

// Name -> shape of every tensor of a model.
function expectedTensors(config) {
  const { n_layer: L, n_embd: C, block_size: T, vocab_size: V, bias } = config;
  const vectors = bias ? ["weight", "bias"] : ["weight"];
  const parts = [
    ["ln1", [C]],
    ["attn.c_attn", [3 * C, C]],
    ["attn.c_proj", [C, C]],
    ["ln2", [C]],
    ["mlp.c_fc", [4 * C, C]],
    ["mlp.c_proj", [C, 4 * C]],
  ];
  const shapes = new Map();
  shapes.set("transformer.wte.weight", [V, C]);
  shapes.set("transformer.wpe.weight", [T, C]);
  vectors.forEach((kind) => shapes.set(`transformer.ln_f.${kind}`, [C]));
  for (let layer = 0; layer < L; layer++) {
    for (const [name, shape] of parts) {
      const where = `transformer.h.${layer}.${name}`;
      vectors.forEach((kind) =>
        shapes.set(`${where}.${kind}`, kind === "bias" ? [shape[0]] : shape),
      );
    }
  }
  return shapes;
}

const DTYPE_BYTES = { F32: 4, F16: 2, BF16: 2, I8: 1 };

// The header of a safetensors file: a Map of name -> {dtype, shape, start, end}, and its metadata.
function readHeader(bytes, name) {
  const fail = (reason) => {
    throw new Error(`${name} is damaged or isn't a file of tensors: ${reason}`);
  };
  if (bytes.length < 8) {
    fail("it is too short");
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const length = Number(view.getBigUint64(0, true));
  if (length > 1e7 || 8 + length > bytes.length) {
    fail("the length of its header is wrong");
  }
  const header = parseObject(bytes.subarray(8, 8 + length), name);
  const size = bytes.length - 8 - length;
  const tensors = new Map();
  for (const [key, entry] of Object.entries(header)) {
    if (key === "__metadata__") {
      continue;
    }
    const isEntry = entry !== null && typeof entry === "object";
    if (!isEntry || !Object.hasOwn(DTYPE_BYTES, entry.dtype)) {
      fail(`the data type of ${key.slice(0, 80)} must be F32, F16, BF16 or I8`);
    }
    const { dtype, shape, data_offsets: offsets } = entry;
    const isSize = (n) => Number.isSafeInteger(n) && n >= 0;
    if (!Array.isArray(shape) || shape.length > 4 || !shape.every(isSize)) {
      fail(`the shape of ${key.slice(0, 80)} is wrong`);
    }
    if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isSize)) {
      fail(`the offsets of ${key.slice(0, 80)} are wrong`);
    }
    const [start, end] = offsets;
    const expected = shape.reduce((a, b) => a * b, 1) * DTYPE_BYTES[dtype];
    if (end > size || end - start !== expected) {
      fail(`the size of ${key.slice(0, 80)} doesn't match its shape`);
    }
    tensors.set(key, {
      dtype,
      shape,
      start: 8 + length + start,
      end: 8 + length + end,
    });
  }
  let last = 8 + length;
  for (const { start, end } of [...tensors.values()].sort(
    (a, b) => a.start - b.start || a.end - b.end,
  )) {
    if (start !== last) {
      fail("its tensors overlap or leave gaps");
    }
    last = end;
  }
  if (last !== bytes.length) {
    fail("there are bytes after its last tensor");
  }
  return { tensors, metadata: header.__metadata__ || {} };
}

function halfToFloat(half) {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 31;
  const fraction = half & 1023;
  if (exponent === 31) {
    return fraction ? NaN : sign * Infinity;
  }
  return exponent
    ? sign * 2 ** (exponent - 25) * (1024 + fraction)
    : sign * 2 ** -24 * fraction;
}

// The numbers of one tensor: Int8Array for I8, else Float32Array.
function readTensor(bytes, { dtype, start, end }) {
  const copy = bytes.slice(start, end); // starts at an address that suits every type
  if (dtype === "F32") {
    return new Float32Array(copy.buffer);
  }
  if (dtype === "I8") {
    return new Int8Array(copy.buffer);
  }
  const halves = new Uint16Array(copy.buffer);
  if (dtype === "F16") {
    return Float32Array.from(halves, halfToFloat);
  }
  const words = Uint32Array.from(halves, (half) => half << 16); // BF16: the upper half of a float
  return new Float32Array(words.buffer);
}

// A loop, because a call of a function for each of 51 million weights takes a second.
function areFinite(values) {
  for (let i = 0; i < values.length; i++) {
    if (!(Math.abs(values[i]) < Infinity)) {
      return false;
    }
  }
  return true;
}

// The weights of a model: a Map of name -> {dtype, values, scale}. An int8 matrix has a second
// tensor, NAME.scale, with a factor for each row.
function readWeights(bytes, config, name, id = null) {
  const { tensors, metadata } = readHeader(bytes, name);
  if (id !== null && typeof metadata.run === "string" && metadata.run !== id) {
    throw new Error(`${name} belongs to another run than config.json`);
  }
  const weights = new Map();
  for (const [key, shape] of expectedTensors(config)) {
    const entry = tensors.get(key);
    if (!entry) {
      throw new Error(`${name} is from another model: it has no ${key}`);
    }
    if (entry.shape.join() !== shape.join()) {
      throw new Error(
        `${name} is from another model: ${key} has the shape (${entry.shape.join(", ")}), expected (${shape.join(", ")})`,
      );
    }
    const values = readTensor(bytes, entry);
    tensors.delete(key);
    let scale = null;
    if (entry.dtype === "I8") {
      const factors = tensors.get(`${key}.scale`);
      if (
        shape.length !== 2 ||
        !factors ||
        factors.dtype !== "F32" ||
        factors.shape.join() !== String(shape[0])
      ) {
        throw new Error(
          `${name}: ${key} in int8 needs ${key}.scale with ${shape[0]} numbers`,
        );
      }
      scale = readTensor(bytes, factors);
      tensors.delete(`${key}.scale`);
    }
    if (!areFinite(scale || values)) {
      throw new Error(`${name}: ${key} contains numbers that aren't finite`);
    }
    weights.set(key, { dtype: entry.dtype, values, scale });
  }
  if (tensors.size > 0) {
    const other = tensors.keys().next().value.slice(0, 80);
    throw new Error(
      `${name} is from another model: it has an unknown tensor ${other}`,
    );
  }
  return weights;
}

// The weights of a model that has not been trained, distributed as in chapter 03.
function randomWeights(config) {
  const random = makeRandom(0);
  const gauss = () =>
    Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  const weights = new Map();
  for (const [name, shape] of expectedTensors(config)) {
    const values = new Float32Array(shape.reduce((a, b) => a * b));
    if (shape.length === 2) {
      const isLast = name.endsWith("c_proj.weight");
      const deviation = isLast ? 0.02 / Math.sqrt(2 * config.n_layer) : 0.02;
      values.forEach((_, i) => (values[i] = deviation * gauss()));
    } else if (name.endsWith(".weight")) {
      values.fill(1); // of a LayerNorm
    }
    weights.set(name, { dtype: "F32", values, scale: null });
  }
  return weights;
}
