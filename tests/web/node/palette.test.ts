import assert from "node:assert/strict";
import { test } from "node:test";
import { type Badge, ExpertPalette } from "../../../www/src/elements/palette.ts";

/** What is left of a colour, linear red, green and blue, for whom one kind of cone is missing (Machado, Oliveira, Fernandes 2009). */
const visions: Record<string, number[][]> = {
  all: [
    [1, 0, 0],
    [0, 1, 0],
    [0, 0, 1],
  ],
  protanopia: [
    [0.152286, 1.052583, -0.204868],
    [0.114503, 0.786281, 0.099216],
    [-0.003882, -0.048116, 1.051998],
  ],
  deuteranopia: [
    [0.367322, 0.860646, -0.227968],
    [0.280085, 0.672501, 0.047413],
    [-0.01182, 0.04294, 0.968881],
  ],
  tritanopia: [
    [1.255528, -0.076749, -0.178779],
    [-0.078411, 0.930809, 0.147602],
    [0.004733, 0.691367, 0.3039],
  ],
};

/** Of CIELAB: 2 is seen side by side, 10 at a glance. */
const LEAST_DIFFERENCE = 12;

function linear(colour: string): number[] {
  return [1, 3, 5].map((start) => {
    const part = Number.parseInt(colour.slice(start, start + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
}

const product = (matrix: number[][], vector: number[]) =>
  matrix.map((row) => row.reduce((sum, factor, index) => sum + factor * (vector[index] ?? 0), 0));

const luminance = (colour: string) => product([[0.2126, 0.7152, 0.0722]], linear(colour))[0] ?? 0;

function lab(colour: string, vision: number[][]): number[] {
  const seen = product(vision, linear(colour)).map((part) => Math.max(0, Math.min(1, part)));
  const toWhite = [
    [0.4124 / 0.95047, 0.3576 / 0.95047, 0.1805 / 0.95047],
    [0.2126, 0.7152, 0.0722],
    [0.0193 / 1.08883, 0.1192 / 1.08883, 0.9505 / 1.08883],
  ];
  const [x = 0, y = 0, z = 0] = product(toWhite, seen).map((part) =>
    part > 0.008856 ? Math.cbrt(part) : 7.787 * part + 16 / 116,
  );
  return [116 * y - 16, 500 * (x - y), 200 * (y - z)];
}

const badgesOf = (count: number): Badge[] => {
  const experts = Array.from({ length: count }, (_, index) => ({ id: `${index}`, title: `${index}` }));
  const palette = new ExpertPalette(experts);
  return experts.map(({ id }) => palette.badge(id));
};

for (const [name, vision] of Object.entries(visions)) {
  test(`sixteen experts differ in colour or pattern, with ${name}`, () => {
    const badges = badgesOf(16);
    for (const [index, one] of badges.entries()) {
      for (const other of badges.slice(index + 1).filter(({ pattern }) => pattern === one.pattern)) {
        const distance = Math.hypot(
          ...lab(one.colour, vision).map((part, axis) => part - (lab(other.colour, vision)[axis] ?? 0)),
        );
        assert.ok(distance >= LEAST_DIFFERENCE, `${one.letter} and ${other.letter} differ by ${distance}`);
      }
    }
  });
}

test("a hundred experts have letters of their own, each readable on its colour", () => {
  const badges = badgesOf(100);
  assert.equal(new Set(badges.map(({ letter }) => letter)).size, 100);
  for (const { colour, ink, letter } of badges) {
    const [dark, light] = [luminance(colour), luminance(ink)].sort((a, b) => a - b);
    const contrast = ((light ?? 0) + 0.05) / ((dark ?? 0) + 0.05);
    assert.ok(contrast >= 4.5, `${letter}: ${contrast}`);
  }
});
