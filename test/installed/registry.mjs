// A registry of the packed packages alone, on loopback, so that package managers install them as they would from npm: with
// optional dependencies picked by os, cpu and libc. Platforms that were not packed are there as manifests only.

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";

/** Serves root/dist/*.tgz. Resolves to { url, close }. */
export async function startRegistry(root) {
  const read = (file) => JSON.parse(readFileSync(file, "utf8"));
  const packed = new Map(read(join(root, "dist/packages.json")).map((entry) => [entry.name, entry]));
  const tarball = join(root, "dist", packed.get("pagewire").file);
  const main = execFileSync("tar", ["-xOzf", tarball, "package/package.json"], { encoding: "utf8" });
  const manifests = new Map([["pagewire", JSON.parse(main)]]);
  for (const target of readdirSync(join(root, "npm"))) {
    manifests.set(`@pagewire/${target}`, read(join(root, "npm", target, "package.json")));
  }
  let url;

  function packument(name) {
    const manifest = manifests.get(name);
    if (manifest === undefined) return undefined;
    const entry = packed.get(name);
    const file = entry?.file ?? "not-packed-here.tgz";
    const bytes = entry && readFileSync(join(root, "dist", file));
    const hash = (kind, form) => (bytes ? createHash(kind).update(bytes).digest(form) : undefined);
    const dist = { tarball: `${url}/-/${file}`, shasum: hash("sha1", "hex") ?? "0".repeat(40) };
    if (bytes) dist.integrity = `sha512-${hash("sha512", "base64")}`;
    const { version } = manifest;
    return {
      name,
      "dist-tags": { latest: version },
      versions: { [version]: { ...manifest, _id: `${name}@${version}`, dist } },
    };
  }

  const server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url, "http://x").pathname).slice(1);
    const tarball = /^-\/([\w.-]+\.tgz)$/.exec(path)?.[1];
    if (tarball !== undefined && [...packed.values()].some(({ file }) => file === tarball)) {
      response
        .writeHead(200, { "content-type": "application/octet-stream" })
        .end(readFileSync(join(root, "dist", tarball)));
      return;
    }
    const body = packument(path);
    response.writeHead(body ? 200 : 404, { "content-type": "application/json" });
    response.end(JSON.stringify(body ?? { error: `there is no package ${path} here` }));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${server.address().port}`;
  return { url, close: () => server.close() };
}
