"use strict";
// A GPT without any library: the model of chapters 00 to 05 once more, in
// JavaScript. Tokenizer, weights, forward pass with a KV cache, and sampling.
// page.js draws what it computes.

// ---- Tokenizer (chapter 00) ----

const END_OF_TEXT = "<|endoftext|>";

// GPT-2's pre-tokenization. JavaScript's \s has other characters than Unicode's
// white space.
const PATTERN = new RegExp(
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\p{White_Space}\\p{L}\\p{N}]+" +
    "|\\p{White_Space}+(?!\\P{White_Space})|\\p{White_Space}+",
  "gu",
);
// two ways of writing this pattern: ours, and that of tiktoken
const KNOWN_PATTERNS = [
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
  "'(?:[sdmt]|ll|ve|re)| ?\\p{L}++| ?\\p{N}++| ?[^\\s\\p{L}\\p{N}]++|\\s++$|\\s+(?!\\S)|\\s",
];

function splitWords(text) {
  return text.match(PATTERN) || [];
}

class Tokenizer {
  constructor(content) {
    this.tokens = checkTokenizer(content); // id -> its bytes, as a string with a character each
    this.ranks = new Map(this.tokens.map((token, id) => [token, id]));
    this.endOfText = content.special_tokens[END_OF_TEXT];
    this.size = this.tokens.length + Object.keys(content.special_tokens).length;
    this.words = new Map(); // words that were encoded before
  }

  // The ids of a text. A typed <|endoftext|> is plain text.
  encode(text) {
    return splitWords(text).flatMap((word) => this.encodeWord(word));
  }

  encodeWord(word) {
    const known = this.words.get(word);
    if (known) {
      return known;
    }
    const bytes = new TextEncoder().encode(word);
    const parts = Array.from(bytes, (byte) => String.fromCharCode(byte));
    while (parts.length > 1) {
      let lowest = Infinity;
      let best = 0;
      for (let i = 0; i + 1 < parts.length; i++) {
        const rank = this.ranks.get(parts[i] + parts[i + 1]);
        if (rank < lowest) {
          lowest = rank;
          best = i;
        }
      }
      if (lowest === Infinity) {
        break; // no two neighbours make a token
      }
      parts.splice(best, 2, parts[best] + parts[best + 1]);
    }
    const ids = parts.map((part) => this.ranks.get(part));
    this.words.set(word, ids);
    return ids;
  }

  // The bytes of a token; none for a special token or an unknown id.
  bytes(id) {
    return Uint8Array.from(this.tokens[id] || "", (character) =>
      character.charCodeAt(0),
    );
  }

  decode(ids) {
    const joined = ids.map((id) => this.tokens[id] || "").join("");
    const bytes = Uint8Array.from(joined, (character) => character.charCodeAt(0));
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes); // true keeps a BOM
  }
}

// ---- The model (chapters 01 to 03) ----

// Where a matrix has a number. Four rows are interleaved, a block of each in turn,
// so that the kernel reads the memory from front to back. A block has 16 bytes: 4
// floats or 16 int8.
function placeOf(row, column, stride, block) {
  const group = (row >> 2) * 4 * stride + Math.floor(column / block) * 4 * block;
  return group + (row & 3) * block + (column % block);
}

// Products of matrices and vectors in one array of floats, in which a matrix is an
// offset. The WebAssembly and the JavaScript version add in the same order: their
// results are equal.
class Kernel {
  constructor(nFloats, wasm) {
    if (wasm) {
      const pages = Math.ceil((4 * nFloats) / 65536); // of 64 KiB
      const memory = new WebAssembly.Memory({ initial: pages });
      this.wasm = new WebAssembly.Instance(wasm, { slm: { memory } }).exports;
      this.floats = new Float32Array(memory.buffer);
    } else {
      this.wasm = null;
      this.floats = new Float32Array(nFloats);
    }
    this.int8 = new Int8Array(this.floats.buffer);
    this.int16 = new Int16Array(this.floats.buffer);
    this.int32 = new Int32Array(this.floats.buffer);
  }

  // y[v][row] = sum over the columns of w[row][column] * x[v][column], for n
  // vectors
  matmul(w, stride, rows, columns, x, xStride, y, yStride, n) {
    if (this.wasm) {
      this.wasm.matmul_f32(
        4 * w,
        4 * stride,
        rows,
        columns,
        4 * x,
        4 * xStride,
        4 * y,
        4 * yStride,
        n,
      );
      return;
    }
    const f = this.floats;
    for (let v = 0; v < n; v++) {
      for (let row = 0; row < rows; row++) {
        const at = w + placeOf(row, 0, stride, 4);
        const from = x + v * xStride;
        let a = 0;
        let b = 0;
        let c = 0;
        let d = 0;
        for (let i = 0; i < columns; i += 4) {
          a = Math.fround(a + Math.fround(f[at + 4 * i] * f[from + i]));
          b = Math.fround(b + Math.fround(f[at + 4 * i + 1] * f[from + i + 1]));
          c = Math.fround(c + Math.fround(f[at + 4 * i + 2] * f[from + i + 2]));
          d = Math.fround(d + Math.fround(f[at + 4 * i + 3] * f[from + i + 3]));
        }
        f[y + v * yStride + row] = Math.fround(a + c) + Math.fround(b + d);
      }
    }
  }

  // The same for w in int8 and x in int16; y are exact sums in int32.
  matmulInt8(w, stride, rows, columns, x, xStride, y, yStride, n) {
    if (this.wasm) {
      this.wasm.matmul_i8(
        4 * w,
        stride,
        rows,
        columns,
        4 * x,
        4 * xStride,
        4 * y,
        4 * yStride,
        n,
      );
      return;
    }
    for (let v = 0; v < n; v++) {
      for (let row = 0; row < rows; row++) {
        const from = 2 * (x + v * xStride);
        let sum = 0;
        for (let i = 0; i < columns; i++) {
          const weight = this.int8[4 * w + placeOf(row, i, stride, 16)];
          sum += weight * this.int16[from + i];
        }
        this.int32[y + v * yStride + row] = sum;
      }
    }
  }
}

const CHUNK = 16; // the most tokens that one call of forward processes together
const roundUp = (n, multiple) => Math.ceil(n / multiple) * multiple;

class Model {
  // config as in GPTConfig; tensors: a Map from readWeights; wasm: a module, or
  // null
  constructor(config, tensors, wasm) {
    this.config = config;
    const {
      n_layer: L,
      n_head: H,
      n_embd: C,
      block_size: T,
      vocab_size: V,
    } = config;
    this.headSize = C / H;
    this.headStride = roundUp(this.headSize, 4);
    this.timeStride = roundUp(T, 4);
    this.nFloats = 0;
    const matrix = (name, rows, columns) =>
      this.place(tensors, name, rows, columns);
    const vector = (name, n) => this.place(tensors, name, null, n);
    this.wte = matrix("transformer.wte.weight", V, C);
    this.wpe = matrix("transformer.wpe.weight", T, C);
    this.lnF = this.placeNorm(tensors, "transformer.ln_f", C);
    this.blocks = [];
    for (let i = 0; i < L; i++) {
      const name = `transformer.h.${i}`;
      this.blocks.push({
        ln1: this.placeNorm(tensors, `${name}.ln1`, C),
        cAttn: matrix(`${name}.attn.c_attn.weight`, 3 * C, C),
        cAttnBias: vector(`${name}.attn.c_attn.bias`, 3 * C),
        attnProj: matrix(`${name}.attn.c_proj.weight`, C, C),
        attnProjBias: vector(`${name}.attn.c_proj.bias`, C),
        ln2: this.placeNorm(tensors, `${name}.ln2`, C),
        cFc: matrix(`${name}.mlp.c_fc.weight`, 4 * C, C),
        cFcBias: vector(`${name}.mlp.c_fc.bias`, 4 * C),
        mlpProj: matrix(`${name}.mlp.c_proj.weight`, C, 4 * C),
        mlpProjBias: vector(`${name}.mlp.c_proj.bias`, C),
        keys: this.allocate(H * this.timeStride * this.headStride), // (H, T, headSize)
        values: this.allocate(H * this.headStride * this.timeStride), // (H, headSize, T)
        headOff: new Array(H).fill(false), // heads that are switched off
        off: false, // whether the whole block is skipped
      });
    }
    this.width = roundUp(4 * C, 16) + 16; // room for the widest vector and its padding
    const wide = () => this.allocate(CHUNK * this.width);
    this.x = wide(); // the residual stream
    this.h = wide(); // its normalised form, and the MLP's hidden layer
    this.qkv = wide();
    this.context = wide();
    this.out = wide();
    this.quantized = wide(); // int16 inputs of an int8 matrix
    this.scores = this.allocate(this.timeStride + 4);
    this.logitsAt = this.allocate(roundUp(V, 4));
    this.kernel = new Kernel(this.nFloats, wasm);
    this.load(tensors);
    this.reset();
  }

  // Reserve room for n floats; returns their offset.
  allocate(n) {
    const at = this.nFloats;
    this.nFloats += roundUp(n, 4);
    return at;
  }

  // Reserve room for a matrix, padded with zeros, or for a vector, whose rows are
  // null. Returns null if the model doesn't have it.
  place(tensors, name, rows, columns) {
    if (!tensors.has(name)) {
      return null; // a model without biases
    }
    const int8 = tensors.get(name).dtype === "I8";
    const stride = roundUp(columns, int8 ? 16 : 4);
    const size = rows === null ? stride : roundUp(rows, 4) * stride;
    return {
      name,
      rows,
      columns,
      stride,
      int8,
      at: this.allocate(int8 ? size / 4 : size),
    };
  }

  placeNorm(tensors, name, n) {
    const weight = this.place(tensors, `${name}.weight`, null, n);
    return { weight, bias: this.place(tensors, `${name}.bias`, null, n) };
  }

  // Copy the weights into the kernel's memory.
  load(tensors) {
    const placed = [this.wte, this.wpe, this.lnF.weight, this.lnF.bias];
    for (const block of this.blocks) {
      placed.push(
        block.ln1.weight,
        block.ln1.bias,
        block.ln2.weight,
        block.ln2.bias,
      );
      placed.push(...Object.values(block).filter((each) => each && each.name));
    }
    for (const m of placed) {
      if (m === null) {
        continue;
      }
      const { values, scale } = tensors.get(m.name);
      const memory = m.int8 ? this.kernel.int8 : this.kernel.floats;
      const start = m.int8 ? 4 * m.at : m.at;
      if (m.rows === null) {
        memory.set(values, start);
      } else {
        const block = m.int8 ? 16 : 4;
        for (let row = 0; row < m.rows; row++) {
          for (let column = 0; column < m.columns; column++) {
            const value = values[row * m.columns + column];
            memory[start + placeOf(row, column, m.stride, block)] = value;
          }
        }
      }
      m.scale = scale; // one factor for each row of an int8 matrix
    }
  }

  // Forget all tokens, or keep the first ones.
  reset(keep = 0) {
    this.ids = keep ? this.ids.slice(0, keep) : [];
    this.stream = keep ? this.stream.slice(0, keep) : []; // [position]: (L + 1, C)
    this.attention = keep ? this.attention.slice(0, keep) : []; // [position]: (L, H, position + 1)
  }

  layerNorm(from, { weight, bias }, to, n) {
    const f = this.kernel.floats;
    const C = this.config.n_embd;
    for (let v = 0; v < n; v++) {
      const x = from + v * this.width;
      const y = to + v * this.width;
      let mean = 0;
      for (let i = 0; i < C; i++) {
        mean += f[x + i] / C;
      }
      let variance = 0;
      for (let i = 0; i < C; i++) {
        variance += (f[x + i] - mean) ** 2 / C;
      }
      const factor = 1 / Math.sqrt(variance + 1e-5);
      for (let i = 0; i < C; i++) {
        f[y + i] = (f[x + i] - mean) * factor * f[weight.at + i];
        if (bias) {
          f[y + i] += f[bias.at + i];
        }
      }
      f.fill(0, y + C, y + roundUp(C, 16)); // the padding that a matrix product reads
    }
  }

  // y = W x + b for n vectors
  linear(m, bias, x, y, yStride, n) {
    const kernel = this.kernel;
    const f = kernel.floats;
    if (m.int8) {
      const factors = this.quantize(x, m.columns, m.stride, n);
      const input = [this.quantized, this.width];
      kernel.matmulInt8(m.at, m.stride, m.rows, m.stride, ...input, y, yStride, n);
      for (let v = 0; v < n; v++) {
        for (let row = 0; row < m.rows; row++) {
          const i = y + v * yStride + row;
          f[i] = kernel.int32[i] * factors[v] * m.scale[row];
        }
      }
    } else {
      kernel.matmul(m.at, m.stride, m.rows, m.stride, x, this.width, y, yStride, n);
    }
    if (bias) {
      for (let v = 0; v < n; v++) {
        for (let row = 0; row < m.rows; row++) {
          f[y + v * yStride + row] += f[bias.at + row];
        }
      }
    }
  }

  // Round n vectors to int16, as finely as sums in int32 permit. Returns the size
  // of a unit.
  quantize(x, columns, padded, n) {
    const f = this.kernel.floats;
    const limit = Math.min(32767, Math.floor((2 ** 31 - 1) / (127 * padded)));
    const factors = [];
    for (let v = 0; v < n; v++) {
      const from = x + v * this.width;
      const to = 2 * (this.quantized + v * this.width);
      let largest = 1e-30;
      for (let i = 0; i < columns; i++) {
        largest = Math.max(largest, Math.abs(f[from + i]));
      }
      for (let i = 0; i < columns; i++) {
        this.kernel.int16[to + i] = Math.round((f[from + i] * limit) / largest);
      }
      this.kernel.int16.fill(0, to + columns, to + padded);
      factors.push(largest / limit);
    }
    return factors;
  }

  // Copy a row of a matrix, such as the embedding of a token, adding it to what is
  // there.
  addRow(m, row, to) {
    const f = this.kernel.floats;
    for (let i = 0; i < m.columns; i++) {
      if (m.int8) {
        const weight = this.kernel.int8[4 * m.at + placeOf(row, i, m.stride, 16)];
        f[to + i] += weight * m.scale[row];
      } else {
        f[to + i] += f[m.at + placeOf(row, i, m.stride, 4)];
      }
    }
  }

  // Process up to CHUNK tokens that follow those in the cache.
  forward(ids) {
    const f = this.kernel.floats;
    const { n_embd: C, n_layer: L, n_head: H } = this.config;
    const n = ids.length;
    const start = this.ids.length;
    if (start + n > this.config.block_size || n > CHUNK) {
      throw new Error(`${start + n} tokens are more than the model's block_size`);
    }
    if (!ids.every((id) => id >= 0 && id < this.config.vocab_size)) {
      throw new Error(
        `ids must be from 0 to ${this.config.vocab_size - 1}, got ${ids}`,
      );
    }
    for (let v = 0; v < n; v++) {
      f.fill(0, this.x + v * this.width, this.x + v * this.width + C);
      this.addRow(this.wte, ids[v], this.x + v * this.width);
      this.addRow(this.wpe, start + v, this.x + v * this.width);
      this.ids.push(ids[v]);
      this.stream.push(new Float32Array((L + 1) * C));
      this.attention.push(new Float32Array(L * H * (start + v + 1)));
    }
    for (let layer = 0; layer < L; layer++) {
      this.keepStream(layer, start, n);
      const block = this.blocks[layer];
      if (block.off) {
        continue;
      }
      this.layerNorm(this.x, block.ln1, this.h, n);
      this.linear(block.cAttn, block.cAttnBias, this.h, this.qkv, this.width, n);
      for (let v = 0; v < n; v++) {
        this.attend(layer, start + v, v);
      }
      this.linear(
        block.attnProj,
        block.attnProjBias,
        this.context,
        this.out,
        this.width,
        n,
      );
      this.addToStream(n);
      this.layerNorm(this.x, block.ln2, this.h, n);
      this.linear(block.cFc, block.cFcBias, this.h, this.out, this.width, n);
      this.activate(this.out, this.h, n);
      this.linear(
        block.mlpProj,
        block.mlpProjBias,
        this.h,
        this.out,
        this.width,
        n,
      );
      this.addToStream(n);
    }
    this.keepStream(L, start, n);
  }

  // Attention of one token in all heads: two matrix-vector products and a softmax
  // for each.
  attend(layer, position, v) {
    const f = this.kernel.floats;
    const { n_embd: C, n_head: H } = this.config;
    const { headSize: size, headStride, timeStride } = this;
    const block = this.blocks[layer];
    const qkv = this.qkv + v * this.width;
    const context = this.context + v * this.width;
    const T = position + 1;
    for (let head = 0; head < H; head++) {
      const keys = block.keys + head * timeStride * headStride;
      const values = block.values + head * headStride * timeStride;
      for (let i = 0; i < size; i++) {
        f[keys + placeOf(position, i, headStride, 4)] =
          f[qkv + C + head * size + i];
        f[values + placeOf(i, position, timeStride, 4)] =
          f[qkv + 2 * C + head * size + i];
      }
      const q = qkv + head * size;
      // the padding of the keys is zero, so that it doesn't matter what follows the
      // query
      this.kernel.matmul(keys, headStride, T, headStride, q, 0, this.scores, 0, 1);
      this.softmaxScores(T);
      this.attention[position].set(
        f.subarray(this.scores, this.scores + T),
        (layer * H + head) * T,
      );
      if (block.headOff[head]) {
        f.fill(0, this.scores, this.scores + T);
      }
      // writes up to three numbers too many, which the next head overwrites
      const y = context + head * size;
      this.kernel.matmul(
        values,
        timeStride,
        size,
        roundUp(T, 4),
        this.scores,
        0,
        y,
        0,
        1,
      );
    }
    f.fill(0, context + C, context + roundUp(C, 16));
  }

  softmaxScores(T) {
    const f = this.kernel.floats;
    const scores = this.scores;
    const factor = 1 / Math.sqrt(this.headSize);
    let largest = -Infinity;
    for (let i = 0; i < T; i++) {
      largest = Math.max(largest, f[scores + i]);
    }
    let sum = 0;
    for (let i = 0; i < T; i++) {
      f[scores + i] = Math.exp((f[scores + i] - largest) * factor);
      sum += f[scores + i];
    }
    for (let i = 0; i < T; i++) {
      f[scores + i] /= sum;
    }
    f.fill(0, scores + T, scores + roundUp(T, 4));
  }

  activate(from, to, n) {
    const f = this.kernel.floats;
    const C4 = 4 * this.config.n_embd;
    const gelu = this.config.activation === "gelu_tanh" ? geluTanh : geluErf;
    for (let v = 0; v < n; v++) {
      const x = from + v * this.width;
      const y = to + v * this.width;
      for (let i = 0; i < C4; i++) {
        f[y + i] = gelu(f[x + i]);
      }
      f.fill(0, y + C4, y + roundUp(C4, 16));
    }
  }

  addToStream(n) {
    const f = this.kernel.floats;
    for (let v = 0; v < n; v++) {
      for (let i = 0; i < this.config.n_embd; i++) {
        f[this.x + v * this.width + i] += f[this.out + v * this.width + i];
      }
    }
  }

  keepStream(depth, start, n) {
    const C = this.config.n_embd;
    for (let v = 0; v < n; v++) {
      const x = this.x + v * this.width;
      this.stream[start + v].set(this.kernel.floats.subarray(x, x + C), depth * C);
    }
  }

  // Logits of the token after a position, read after all blocks or, as a logit
  // lens, earlier.
  logits(position, depth = this.config.n_layer) {
    const f = this.kernel.floats;
    const C = this.config.n_embd;
    f.set(this.stream[position].subarray(depth * C, (depth + 1) * C), this.x);
    this.layerNorm(this.x, this.lnF, this.h, 1);
    this.linear(this.wte, null, this.h, this.logitsAt, 0, 1);
    return f.slice(this.logitsAt, this.logitsAt + this.config.vocab_size);
  }

  // Attention weights of one head: a row for each query.
  attentionMap(layer, head) {
    return this.attention.map((weights, position) => {
      const at = (layer * this.config.n_head + head) * (position + 1);
      return weights.subarray(at, at + position + 1);
    });
  }

  // Process the last block_size ids; what the cache has of them is not computed
  // again. Returns a generator that stops after each chunk, so that a page can draw
  // in between.
  *process(ids) {
    const window = ids.slice(-this.config.block_size);
    let same = 0;
    while (same < window.length && window[same] === this.ids[same]) {
      same++;
    }
    this.reset(same);
    for (let i = same; i < window.length; i += CHUNK) {
      this.forward(window.slice(i, i + CHUNK));
      yield;
    }
  }

  processAll(ids) {
    for (const _ of this.process(ids));
  }
}

function geluErf(x) {
  // erf by formula 7.1.26 of Abramowitz and Stegun, with an error below 1.5e-7
  const z = Math.abs(x) * Math.SQRT1_2;
  const t = 1 / (1 + 0.3275911 * z);
  let sum = 1.061405429 * t - 1.453152027;
  sum = sum * t + 1.421413741;
  sum = sum * t - 0.284496736;
  sum = sum * t + 0.254829592;
  const erf = 1 - sum * t * Math.exp(-z * z);
  return 0.5 * x * (1 + (x < 0 ? -erf : erf));
}

function geluTanh(x) {
  return (
    0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))
  );
}

// ---- Sampling (chapter 05) ----

function softmax(logits) {
  const largest = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  const probs = Float64Array.from(logits, (logit) => Math.exp(logit - largest));
  const sum = probs.reduce((a, b) => a + b, 0);
  return probs.map((p) => p / sum);
}

// Log-probabilities; one minus the other of two logits is the same.
function logSoftmax(logits) {
  const largest = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  const sum = logits.reduce((total, logit) => total + Math.exp(logit - largest), 0);
  const shift = largest + Math.log(sum);
  return Float64Array.from(logits, (logit) => logit - shift);
}

// Probabilities after temperature, top-k, top-p and min-p, in this order; 0 for an
// excluded token.
function filterLogits(
  logits,
  { temperature = 1, topK = 0, topP = 1, minP = 0 } = {},
) {
  const n = logits.length;
  const probs = new Float64Array(n);
  if (temperature === 0) {
    probs[argmax(logits)] = 1;
    return probs;
  }
  let scaled = Float64Array.from(logits, (logit) => logit / temperature);
  const exclude = (test) => {
    scaled = scaled.map((logit, i) => (test(i) ? -Infinity : logit));
  };
  if (topK > 0 && topK < n) {
    const kth = Float64Array.from(scaled).sort()[n - topK];
    exclude((i) => scaled[i] < kth);
  }
  if (topP < 1) {
    const p = softmax(scaled);
    const order = Array.from(p.keys()).sort((a, b) => p[b] - p[a] || a - b);
    const excluded = new Uint8Array(n);
    let before = 0; // probability of all tokens that are more probable
    for (const i of order) {
      excluded[i] = before >= topP ? 1 : 0;
      before += p[i];
    }
    exclude((i) => excluded[i]);
  }
  if (minP > 0) {
    const p = softmax(scaled);
    const threshold = minP * p.reduce((a, b) => Math.max(a, b), 0);
    exclude((i) => p[i] < threshold);
  }
  return softmax(scaled);
}

function argmax(values) {
  let best = 0;
  for (let i = 1; i < values.length; i++) {
    if (values[i] > values[best]) {
      best = i;
    }
  }
  return best;
}

// Random numbers from 0 to 1, the same for the same seed (xorshift, Marsaglia
// 2003).
function makeRandom(seed) {
  let state = (Math.imul(seed + 1, 0x9e3779b1) ^ 0x5bd1e995) | 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

function sampleToken(probs, random) {
  const dart = random();
  let end = 0;
  let last = 0;
  for (let i = 0; i < probs.length; i++) {
    if (probs[i] > 0) {
      end += probs[i];
      last = i;
      if (dart < end) {
        return i;
      }
    }
  }
  return last; // rounding: the last end may lie a little below 1
}
