"use strict";
// The guided tour: what to look at, and the chapter that builds it.

const TOUR = [
  {
    title: "Your text becomes tokens",
    text: "The model never sees letters. The tokenizer cuts your text into pieces, the tokens, and each has a number. A dot stands for a space. Type something: rare words need several tokens.",
    at: "tokens",
    page: "tokenize",
    chapter: "Tokenize",
  },
  {
    title: "Every token is predicted",
    text: "The stronger the line below a token, the higher its surprisal: minus the logarithm of the probability that the model gave it. The mean surprisal is the loss of your text.",
    at: "chart",
    page: "train",
    chapter: "Training",
  },
  {
    title: "The next token",
    text: "The model's output is a probability for every token of the vocabulary. These are the most probable ones. Choose one to continue your text with it.",
    at: "bars",
    page: "model",
    chapter: "GPT",
  },
  {
    title: "Sampling",
    text: "Temperature sharpens or flattens the probabilities. Top-k, top-p and min-p exclude improbable tokens. Move the sliders and watch the dark bars.",
    at: "sampling",
    page: "sample",
    chapter: "Generating text",
  },
  {
    title: "Generate",
    text: "Generation repeats one step: sample a token, append it, compute the next probabilities. The same seed makes the same choices. Undo takes the tokens back.",
    at: "generate",
    page: "cache",
    chapter: "KV cache",
  },
  {
    title: "Attention",
    text: "In each block, every head lets a token collect information from the tokens before it. A row of a map shows how one token divides its attention. Many heads attend to the first token when they find nothing.",
    at: "heads",
    page: "attention",
    chapter: "Attention",
  },
  {
    title: "One head, one token",
    text: "Select a token and shade the others by the attention that it pays them. Look for a head in which a pronoun attends to the name it stands for.",
    at: "map",
    page: "attention",
    chapter: "Attention",
  },
  {
    title: "Switch parts off",
    text: "Remove the tick of a head or of a block. The loss of your text shows how much the model needed it. Some heads hardly matter, and others are essential.",
    at: "attention-panel",
    page: "block",
    chapter: "The transformer block",
  },
  {
    title: "The logit lens",
    text: "Each block adds something to the residual stream. The logit lens reads the stream after each block as if it were the last one: you see the prediction take shape.",
    at: "lens-panel",
    page: "inside",
    chapter: "Looking inside a model",
  },
  {
    title: "The true entropy",
    text: "The stories of the demo come from a grammar, so the true probability of each next token is known. The orange marks show it. No model can have a lower loss on average than this entropy.",
    at: "chart",
    page: "storybook",
    chapter: "The storybook",
  },
  {
    title: "Your own run",
    text: "Train another model with slm_nb train and drop its folder on this page. It never leaves your machine. The engine that computes everything here is explained in the appendix.",
    at: "load-open",
    page: "web",
    chapter: "The model in your browser",
  },
];
