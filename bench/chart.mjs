// The chart of a report: for every workload, each system's median relative to Pagewire's on a logarithmic axis.

const colors = ["#1f77b4", "#2ca02c", "#17becf", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#d62728"];
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
  const names = [...new Set(points.map(({ adapter }) => adapter))];
  const low = Math.floor(Math.log10(Math.min(0.1, ...points.map(({ ratio }) => ratio))));
  const high = Math.ceil(Math.log10(Math.max(10, ...points.map(({ ratio }) => ratio))));
  const x = (ratio) => left + ((Math.log10(ratio) - low) / (high - low)) * width;
  const bottom = top + rows.length * rowHeight;
  const svg = [];
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
    const color = colors[names.indexOf(adapter) % colors.length];
    const label = `<title>${escaped(adapter)}: ${ratio.toFixed(2)}x</title>`;
    const at = `cx="${x(ratio).toFixed(1)}" cy="${top + row * rowHeight + 11}"`;
    svg.push(`<circle ${at} r="4.5" fill="${color}" fill-opacity="0.8">${label}</circle>`);
  }
  names.forEach((name, i) => {
    const y = top + 10 + i * 18;
    const color = colors[i % colors.length];
    svg.push(
      `<circle cx="${left + width + 30}" cy="${y}" r="4.5" fill="${color}"/>`,
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
