"use strict";
// The grammar of the storybook (appendix 23): which stories can go on from a text,
// and how probably. From that follow the true probabilities of the next token.

const SYMBOLS =
  /@\w+|\{[^{}]*\}|[()[\]|]| ?#\w+ ?|[^@{}()[\]|#]+?(?= ?#|[@{}()[\]|]|$)/g;

// Lists of words and rules, from the text of a storybook file.
function parseStorybook(text) {
  const lists = new Map();
  const rules = new Map();
  let kind = null;
  let name = null;
  let attributes = null;
  for (const line of text.split(/\r?\n/)) {
    const content = line.trim();
    if (!content || line.startsWith("#")) {
      continue;
    }
    if (line.startsWith("list ") || line.startsWith("rule ")) {
      const [word, listName, ...rest] = content.split(/\s+/);
      kind = word === "list" ? lists : rules;
      name = listName;
      attributes = new Map(rest.map((part) => part.split("=")));
      if (!kind.has(name)) {
        kind.set(name, []);
      }
    } else if (kind === lists) {
      const words = content.split(",").map((word) => word.trim());
      for (const word of words.filter(Boolean)) {
        lists.get(name).push({ text: word, list: name, attributes });
      }
    } else if (content.startsWith("- ")) {
      rules.get(name).push(content.slice(2));
    } else {
      const templates = rules.get(name); // a template continues on the next line
      templates.push(`${templates.pop()} ${content}`);
    }
  }
  for (const [rule, templates] of rules) {
    rules.set(
      rule,
      templates.map((template) => parseNodes(template.match(SYMBOLS).reverse())),
    );
  }
  return { lists, rules };
}

// Nodes up to a symbol in end; symbols is a stack, the next one last.
function parseNodes(symbols, end = "") {
  const nodes = [];
  while (symbols.length && !end.includes(symbols.at(-1))) {
    const symbol = symbols.pop();
    if (symbol[0] === "@") {
      nodes.push({ kind: "rule", name: symbol.slice(1) });
    } else if (symbol[0] === "{") {
      const [, article, name, list, attribute] =
        /^\{(a )?(\w+)(?::(\w+)|\.(\w+))?\}$/.exec(symbol);
      nodes.push({
        kind: list ? "pick" : "recall",
        article: Boolean(article),
        name,
        list,
        attribute,
      });
    } else if (symbol.trim()[0] === "#") {
      nodes.push({ kind: "tag", name: symbol.trim().slice(1) });
    } else if (symbol === "(" || symbol === "[") {
      const closing = symbol === "(" ? ")" : "]";
      const branches = [];
      do {
        branches.push(parseNodes(symbols, `${closing}|`));
      } while (symbols.pop() === "|");
      nodes.push({ kind: symbol === "(" ? "choice" : "case", branches });
    } else {
      nodes.push({ kind: "text", text: symbol });
    }
  }
  return nodes;
}

const capitalized = (text) => text[0].toUpperCase() + text.slice(1);
const withArticle = (text) => (/^[aeiou]/i.test(text) ? "an " : "a ") + text;

class Storybook {
  constructor(text) {
    Object.assign(this, parseStorybook(text));
  }

  // All expansions of a node, equally likely: the text they add, the nodes that
  // follow, and what they remember, as [name, value] or null.
  expansions(node, memory) {
    const plain = (text, nodes = [], remember = null) => ({
      text,
      nodes,
      remember,
    });
    switch (node.kind) {
      case "text":
        return [plain(node.text)];
      case "tag":
        return [plain("", [], [node.name, true])];
      case "choice":
        return node.branches.map((branch) => plain("", branch));
      case "rule":
        return this.rules.get(node.name).map((template) => plain("", template));
      case "case": {
        const branch = node.branches.find(([tag]) => memory.has(tag.name));
        return branch ? [plain("", branch.slice(1))] : [];
      }
      case "recall": {
        const word = memory.get(node.name.toLowerCase());
        let text = node.attribute ? word.attributes.get(node.attribute) : word.text;
        if (node.name[0] !== node.name[0].toLowerCase()) {
          text = capitalized(text);
        }
        return [plain(node.article ? withArticle(text) : text)];
      }
      default: {
        const used = new Set(memory.values());
        const free = this.lists.get(node.list).filter((word) => !used.has(word));
        return free.map((word) =>
          plain(
            node.article ? withArticle(word.text) : word.text,
            [],
            [node.name, word],
          ),
        );
      }
    }
  }

  // The state before a story: what comes next as a linked list, what it remembers,
  // the text that it has beyond what was read, and its probability.
  start() {
    return [
      {
        next: { node: { kind: "rule", name: "story" }, rest: null },
        memory: new Map(),
        tail: "",
        p: 1,
      },
    ];
  }

  // The states that follow a state after one expansion.
  expand(state) {
    const expansions = this.expansions(state.next.node, state.memory);
    return expansions.map(({ text, nodes, remember }) => {
      let next = state.next.rest;
      for (const node of [...nodes].reverse()) {
        next = { node, rest: next };
      }
      const memory = remember
        ? new Map(state.memory).set(...remember)
        : state.memory;
      return {
        next,
        memory,
        tail: state.tail + text,
        p: state.p / expansions.length,
      };
    });
  }

  // The states, among those that follow, whose text continues with the given one.
  read(states, text) {
    const found = [];
    const stack = [...states];
    while (stack.length) {
      const state = stack.pop();
      if (state.tail.length >= text.length) {
        if (state.tail.startsWith(text)) {
          found.push({ ...state, tail: state.tail.slice(text.length) });
        }
      } else if (text.startsWith(state.tail) && state.next) {
        stack.push(...this.expand(state));
      }
    }
    return found;
  }

  // Texts that can follow, each far enough for the test or to the end of its story.
  continuations(states, isEnough) {
    const found = new Map(); // text, with a final \0 where the story ends -> probability
    const stack = [...states];
    while (stack.length) {
      const state = stack.pop();
      const ends = state.next === null;
      if (ends || isEnough(state.tail)) {
        const key = ends ? `${state.tail}\0` : state.tail;
        found.set(key, (found.get(key) || 0) + state.p);
      } else {
        stack.push(...this.expand(state));
      }
    }
    return found;
  }
}

// Follows the tokens of a text, and gives the true probabilities of the next one.
class StoryReader {
  constructor(book, tokenizer) {
    this.book = book;
    this.tokenizer = tokenizer;
    this.begin();
  }

  begin() {
    this.states = this.book.start();
    this.word = ""; // the last word so far, which may go on
    this.wordIds = []; // its tokens
  }

  // Go on by a token.
  push(id) {
    if (id === this.tokenizer.endOfText) {
      this.begin();
      return;
    }
    const text = this.tokenizer.decode([id]);
    this.states = this.book.read(this.states, text);
    const words = splitWords(this.word + text);
    if (words.length > 1) {
      this.word = words.at(-1);
      this.wordIds = this.word === text ? [id] : this.tokenizer.encode(this.word);
    } else {
      this.word += text;
      this.wordIds = [...this.wordIds, id];
    }
  }

  // Whether the grammar can generate a story that starts like this.
  get isValid() {
    return this.states.length > 0;
  }

  // Token id -> its true probability; empty if no story starts with these tokens.
  nextTokens() {
    const { word, wordIds, tokenizer } = this;
    const texts = this.book.continuations(this.states, (tail) =>
      this.isEnough(tail),
    );
    const probs = new Map();
    let total = 0;
    for (const [text, p] of texts) {
      const ends = text.endsWith("\0");
      const ids = tokenizer.encode(word + (ends ? text.slice(0, -1) : text));
      if (!wordIds.every((id, i) => ids[i] === id)) {
        continue; // these stories have other tokens
      }
      const next =
        ids.length > wordIds.length ? ids[wordIds.length] : tokenizer.endOfText;
      probs.set(next, (probs.get(next) || 0) + p);
      total += p;
    }
    for (const [id, p] of probs) {
      probs.set(id, p / total);
    }
    return probs;
  }

  // Whether a continuation fixes the tokens of the word that contains its first
  // character.
  isEnough(tail) {
    if (!tail) {
      return false;
    }
    const text = this.word + tail;
    let end = 0;
    for (const word of splitWords(text)) {
      end += word.length;
      if (end > this.word.length) {
        break;
      }
    }
    // behind an apostrophe two more characters decide, as in 're
    return text[end - 1] === "'" ? end + 2 <= text.length : end < text.length;
  }
}

function entropy(probs) {
  let sum = 0;
  for (const p of probs.values()) {
    sum -= p * Math.log(p);
  }
  return sum;
}
