// The chart of a report: for every workload, each system's median relative to Pagewire's on a logarithmic axis.

// A colour for each library, a shape for each of its variants.
const colors = ["#1f77b4", "#2ca02c", "#e377c2", "#9467bd", "#8c564b", "#ff7f0e", "#d62728", "#17becf", "#7f7f7f"];
const shapes = {
  normal: (x, y, color) => `<circle cx="${x}" cy="${y}" r="3.8" fill="#fff" stroke="${color}" stroke-width="1.8">`,
  memory: (x, y, color) => `<rect x="${(x - 4).toFixed(1)}" y="${y - 4}" width="8" height="8" fill="${color}">`,
  full: (x, y, color) => `<circle cx="${x}" cy="${y}" r="4.5" fill="${color}">`,
};
const split = (adapter) => /^(.*?)(?:-(normal|memory|full))?$/.exec(adapter);

/** A function that draws a mark of an adapter. */
function markOf(adapters) {
  const libraries = [...new Set(adapters.map((adapter) => split(adapter)[1]))];
  return (adapter, x, y, title) => {
    const [, library, variant = "full"] = split(adapter);
    const shape = shapes[variant](Number(x.toFixed(1)), y, colors[libraries.indexOf(library) % colors.length]);
    return `${shape}<title>${escaped(title)}</title>${shape.startsWith("<rect") ? "</rect>" : "</circle>"}`;
  };
}

const left = 210;
const width = 560;
const rowHeight = 22;
const top = 56;

const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");

/** How many times as long as Pagewire the system takes; for rates, how many times as much Pagewire does. */
const ratioOf = (result, own) => (result.higherIsBetter ? own.median / result.median : result.median / own.median);

export function chart(results, runs) {
  const points = [];
  const rows = [];
  for (const [workload, latencyMs] of runs) {
    const some = results.filter((r) => r.workload === workload && r.latencyMs === latencyMs);
    const own = some.find((r) => r.adapter === "pagewire");
    if (own === undefined || some.length < 2) continue;
    for (const r of some) if (r !== own) points.push({ row: rows.length, adapter: r.adapter, ratio: ratioOf(r, own) });
    rows.push(latencyMs === 0 ? workload : `${workload}, ${latencyMs} ms`);
  }
  const names = [...new Set(points.map(({ adapter }) => adapter))].sort();
  const mark = markOf(names);
  const low = Math.floor(Math.log10(Math.min(0.1, ...points.map(({ ratio }) => ratio))));
  const high = Math.ceil(Math.log10(Math.max(10, ...points.map(({ ratio }) => ratio))));
  const x = (ratio) => left + ((Math.log10(ratio) - low) / (high - low)) * width;
  const bottom = top + rows.length * rowHeight;
  const svg = rows.flatMap((_, i) =>
    i % 2 === 1
      ? []
      : `<rect x="${left}" y="${top + i * rowHeight}" width="${width}" height="${rowHeight}" fill="#f6f6f6"/>`,
  );
  for (let power = low; power <= high; power++) {
    const at = x(10 ** power).toFixed(1);
    svg.push(
      `<line x1="${at}" x2="${at}" y1="${top}" y2="${bottom}" stroke="${power === 0 ? "#000" : "#ddd"}"/>`,
      `<text x="${at}" y="${bottom + 16}" text-anchor="middle">${10 ** power}x</text>`,
    );
  }
  rows.forEach((name, i) => {
    svg.push(`<text x="${left - 10}" y="${top + i * rowHeight + 15}" text-anchor="end">${escaped(name)}</text>`);
  });
  for (const { row, adapter, ratio } of points) {
    svg.push(mark(adapter, x(ratio), top + row * rowHeight + 11, `${adapter}: ${ratio.toFixed(2)}x`));
  }
  names.forEach((name, i) => {
    const y = top + 10 + i * 18;
    svg.push(
      mark(name, left + width + 30, y, name),
      `<text x="${left + width + 42}" y="${y + 4}">${escaped(name)}</text>`,
    );
  });
  const height = Math.max(bottom + 30, top + names.length * 18 + 20);
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${left + width + 220}" height="${height}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="#fff"/>
<text x="10" y="20" font-size="15">Medians relative to Pagewire</text>
<text x="10" y="38" fill="#555">right of the line: slower than Pagewire; left of it: faster</text>
${svg.join("\n")}
</svg>
`;
}
