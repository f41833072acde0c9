// A judge is known by its name and by what it was allowed to say: the same model by forced choice is another judge.

export const judgeName = ({ judge, protocol }: { judge: string; protocol: string }): string =>
  `${judge} (${protocol})`;
