// The page, in a real browser at each of two processes.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { chromium } from "playwright-core";
import { startChat } from "./harness.js";

const paths = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const executablePath = paths.find((path) => path && existsSync(path));
const skip = executablePath === undefined && "no Chromium: install the package chromium, or set CHROMIUM to its path";
const args = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"].concat(
  ["--disable-component-update", "--disable-sync"],
  process.getuid?.() === 0 ? ["--no-sandbox"] : [],
);

test("two people chat in their browsers, and go on when the room's process is killed", { skip }, async (t) => {
  const { urls, processes } = await startChat(t);
  const profile = await mkdtemp(join(tmpdir(), "pagewire-chromium-"));
  const browser = await chromium.launchPersistentContext(profile, { executablePath, args, headless: true });
  t.after(async () => {
    await browser.close();
    await rm(profile, { recursive: true, maxRetries: 5, retryDelay: 100 });
  });
  const open = async (url, name) => {
    const page = await browser.newPage();
    await page.goto(`${url}/#tea`);
    await page.getByLabel("your name").fill(name);
    await page.getByLabel("your name").blur();
    await page.getByRole("status").getByText("connected", { exact: true }).waitFor();
    return page;
  };
  const say = async (page, text) => {
    await page.getByLabel("message").fill(text);
    await page.getByRole("button", { name: "Send" }).click();
  };
  // Sent messages are pale until they are stored.
  const sees = (page, text) => page.locator("li:not(.unsent)", { hasText: text }).waitFor();

  const ann = await open(urls[0], "Ann");
  const bob = await open(urls[1], "Bob");
  await say(ann, "hello <b>Bob</b>");
  await sees(bob, "hello <b>Bob</b>");
  assert.equal(await bob.locator("li b").count(), 1, "text is text");
  await say(bob, "hello Ann");
  await sees(ann, "hello Ann");
  await ann.reload();
  await sees(ann, "hello Ann");
  assert.deepEqual(await ann.locator("li").allTextContents(), await bob.locator("li").allTextContents());

  await processes[0].end("SIGKILL");
  await say(bob, "anybody?");
  await sees(bob, "anybody?");
  const eve = await open(urls[1], "Eve");
  await sees(eve, "anybody?");
  assert.equal(await eve.locator("li").count(), 3);
});
