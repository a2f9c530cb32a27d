// A colour and a letter for each expert, the same on the whole page and in the map of the routing.
export { type Badge, badgeElement, ExpertPalette as Palette, paint } from "gander/routing-element";
