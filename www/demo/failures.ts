// Errors in the words of somebody who did not write the program.

import { GanderError } from "gander";

export interface Failure {
  title: string;
  advice: string;
  details: string;
}

export function explain(error: unknown): Failure {
  const details = error instanceof Error ? error.message : String(error);
  const code = error instanceof GanderError ? error.code : "internal";
  return { ...wordsFor(code), details };
}

function wordsFor(code: GanderError["code"]): Omit<Failure, "details"> {
  switch (code) {
    case "not-found":
      return {
        title: "A file of the model is not there",
        advice:
          "The server does not have it. If this is your own copy of the page, put the model's files beside it.",
      };
    case "network":
      return {
        title: "The network gave no answer",
        advice: "Look at your connection, then try again. What was already loaded is kept.",
      };
    case "http":
      return {
        title: "The server refused",
        advice: "It answered with an error. Trying again in a while may help.",
      };
    case "range-ignored":
      return {
        title: "The server cannot give a part of a file",
        advice:
          "Experts come in pieces, and it sends whole files alone. Its publisher has to use another server.",
      };
    case "unsafe-url":
      return {
        title: "That address is not followed",
        advice: "Only https and http are, without a password in them.",
      };
    case "page-mismatch":
    case "invalid-file":
    case "missing-tensor":
    case "shape-mismatch":
    case "wrong-base":
    case "not-finite":
      return {
        title: "A downloaded file is not what it should be",
        advice: "It was refused, so no wrong answer came of it. Its publisher has to mend it.",
      };
    case "empty-input":
      return { title: "There is nothing to answer", advice: "Type a line, or take one of the examples." };
    case "device-lost":
    case "device-failed":
    case "out-of-memory":
      return {
        title: "The graphics card gave up",
        advice: "The answer is lost, the model is not. Try again: it goes on where it can.",
      };
    case "no-gpu":
    case "device-limit":
    case "device-wrong":
      return {
        title: "The graphics card cannot be used",
        advice:
          "A newer browser or driver may help. Without ?device= in the address, the processor does the work.",
      };
    case "worker":
      return {
        title: "The engine did not start",
        advice:
          "A current version of Chrome, Edge, Firefox or Safari is needed. Reloading the page may help.",
      };
    case "internal":
      return {
        title: "Something broke inside",
        advice: "This is a bug in gander. Reload the page to go on; the details below help us to mend it.",
      };
    default:
      return { title: "That did not work", advice: "The details below say why." };
  }
}
