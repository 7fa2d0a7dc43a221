/*
 * Looks at the page at / with a browser, checkers and a keyboard. The last line is `N passed, N failed, N skipped`.
 *
 *   node run.mjs          golden pages, from a server of its own
 *   node run.mjs URL      a running exporter: what holds for any page
 *   node run.mjs URL RE   of this, the checks whose names match
 *
 * CHROMIUM is the browser (/usr/bin/chromium). SCREENSHOTS is a directory for pictures.
 */
import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";

import axe from "axe-core";
import { HtmlValidate } from "html-validate";
import { chromium } from "playwright-core";

import { serve } from "./server.mjs";

const PATIENCE_MS = 10000;
const desktop = { width: 1440, height: 900 };
const phone = { width: 360, height: 740 };

const [target, only] = process.argv.slice(2);
const golden = target ? null : await serve();
const url = target ?? golden.url;
const pictures = process.env.SCREENSHOTS;

/* -- a page, and what it complains of -- */

async function open(browser, { path = "", page = "story", ...options } = {}) {
	if (golden)
		Object.assign(golden.state, { page, change: (text) => text, status: 200 });
	const context = await browser.newContext({ viewport: desktop, ...options });
	const tab = await context.newPage();
	const complaints = [];
	tab.setDefaultTimeout(PATIENCE_MS);
	tab.on("console", (message) => ["error", "warning"].includes(message.type()) && complaints.push(message.text()));
	tab.on("pageerror", (error) => complaints.push(String(error)));
	const response = await tab.goto(url + path);
	return { tab, response, complaints };
}

async function picture(tab, name) {
	if (!pictures)
		return;
	await mkdir(pictures, { recursive: true });
	await tab.screenshot({ path: join(pictures, `${name}.png`), fullPage: true });
}

/* Polls in the page until `condition` holds. */
function until(tab, condition, argument) {
	return tab.waitForFunction(condition, argument, { timeout: PATIENCE_MS });
}

async function checkAxe(tab) {
	await tab.evaluate(axe.source);
	const { violations } = await tab.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
	assert.deepEqual(violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.html).join(" ").slice(0, 300)}`), []);
}

function overflow(tab) {
	return tab.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
}

function visiblePorts(tab) {
	return tab.locator("tbody tr:visible th").allTextContents();
}

async function tabTo(tab, selector) {
	for (let i = 0; i < 100; i++) {
		await tab.keyboard.press("Tab");
		if (await tab.evaluate((wanted) => document.activeElement.matches(wanted), selector))
			return;
	}
	assert.fail(`the Tab key does not lead to ${selector}`);
}

/* -- what holds for any page -- */

const anyPage = {
	"is readable without JavaScript": async (browser) => {
		const { tab } = await open(browser, { javaScriptEnabled: false });
		assert.ok((await tab.locator("h1").textContent()).length > 0);
		assert.ok((await tab.locator("tbody tr:visible").count()) > 0);
		assert.ok((await tab.locator("tbody tr .said").first().textContent()).length > 10);
		assert.equal(await tab.locator("#controls:visible, button:visible").count(), 0);
		await picture(tab, "no-script");
	},
	"has a policy, keeps it, and logs no error": async (browser) => {
		const { tab, response, complaints } = await open(browser);
		const header = response.headers()["content-security-policy"] ?? "";
		assert.match(header, /default-src 'none'/);
		assert.doesNotMatch(header, /unsafe/);
		assert.equal(await tab.locator("[style], style, script:not([src])").count(), 0);
		const foreign = await tab.evaluate(() => performance.getEntriesByType("resource")
			.filter((entry) => new URL(entry.name).origin !== location.origin).map((entry) => entry.name));
		assert.deepEqual(foreign, []);
		assert.equal(await tab.evaluate(() => document.styleSheets.length), 1);
		await tab.waitForSelector("#controls:not([hidden])");
		assert.deepEqual(complaints, []);
	},
	"is valid HTML": async (browser) => {
		const { response } = await open(browser);
		const text = await response.text();
		const report = await new HtmlValidate({
			root: true,
			extends: ["html-validate:recommended"],
			/* `role=search` says to every reader what the newer <search> says to some. */
			rules: { "prefer-native-element": "off", "long-title": "off", "no-trailing-whitespace": "error" },
		}).validateString(text);
		const messages = report.results.flatMap((r) => r.messages);
		assert.deepEqual(messages.map((m) => `${m.line}: ${m.ruleId}: ${m.message}`), []);
	},
	"has dark and light, both without an accessibility violation": async (browser) => {
		const grounds = [];
		for (const colorScheme of ["light", "dark"]) {
			const { tab } = await open(browser, { colorScheme });
			await checkAxe(tab);
			grounds.push(await tab.evaluate(() => getComputedStyle(document.body).backgroundColor));
			await picture(tab, `desktop-${colorScheme}`);
			}
		assert.notEqual(grounds[0], grounds[1]);
	},
	"fits a phone": async (browser) => {
		for (const colorScheme of ["light", "dark"]) {
			const { tab } = await open(browser, { viewport: phone, colorScheme });
			assert.equal(await overflow(tab), 0);
			await checkAxe(tab);
			await picture(tab, `phone-${colorScheme}`);
			}
	},
	"fits every width between": async (browser) => {
		for (const page of golden ? ["story", "rich"] : ["story"]) {
			const { tab } = await open(browser, { page });
			for (let width = 320; width <= 1920; width += width < 1340 ? 40 : 7) {
				await tab.setViewportSize({ width, height: 800 });
				assert.equal(await overflow(tab), 0, `at ${width} px`);
			}
		}
	},
	"sorts with the keyboard": async (browser) => {
		const { tab } = await open(browser);
		await tabTo(tab, "th.port button");
		await tab.keyboard.press("Enter");
		const up = (await visiblePorts(tab)).map(Number).filter(Boolean);
		assert.deepEqual(up, [...up].sort((a, b) => a - b));
		assert.equal(await tab.locator("th.port").first().getAttribute("aria-sort"), "ascending");
		await tab.keyboard.press("Space");
		const down = (await visiblePorts(tab)).map(Number).filter(Boolean);
		assert.deepEqual(down, [...up].reverse());
		assert.equal(await tab.locator("thead [aria-sort]").count(), 1);
	},
};

/* -- what holds for the golden pages, whose content is known -- */

const goldenPages = {
	"names the guilty service first": async (browser) => {
		const { tab } = await open(browser);
		assert.match(await tab.locator("tbody tr").first().innerText(), /35111[^]*not closed by load@35111\.service/);
		assert.equal(await tab.locator("h1").innerText(), "4 stale connections on 1 port");
		const box = await tab.locator("tbody tr").first().boundingBox();
		assert.ok(box.y + box.height < desktop.height / 2);
	},
	"filters with the keyboard, and keeps it in the address": async (browser) => {
		const { tab } = await open(browser);
		await tabTo(tab, "#filter");
		await tab.keyboard.type("3511");
		assert.deepEqual((await visiblePorts(tab)).sort(), ["35111", "35112"]);
		assert.equal(await tab.locator("#status").textContent(), "2 of 10 rows");
		await tab.keyboard.type(" stale");
		assert.deepEqual(await visiblePorts(tab), ["35111"]);
		await tab.reload();
		assert.deepEqual(await visiblePorts(tab), ["35111"]);
	},
	"refreshes without losing sort, filter and focus": async (browser) => {
		const { tab, complaints } = await open(browser, { path: "#sort=port&order=ascending&filter=server" });
		await tab.locator('[data-key="server/35111"] a').first().focus();
		golden.state.change = (text) => text.replaceAll("4 connections:", "5 connections:").replaceAll(">22<", ">23<")
			.replaceAll(">4 stale", ">5 stale").replace(/<tr class="\w+" data-key="server\/9100"[^]*?<\/tr>/, "");
		await until(tab, () => document.body.innerText.includes("5 connections:"));
		assert.equal(await tab.locator("h1").innerText(), "5 stale connections on 1 port");
		assert.deepEqual(await visiblePorts(tab), ["23", "8080", "10793", "35111", "35112"]);
		assert.equal(await tab.evaluate(() => document.activeElement.closest("tr").dataset.key), "server/35111");
		assert.deepEqual(complaints, []);
	},
	"keeps the focus where the order changes": async (browser) => {
		const { tab } = await open(browser);
		await tab.locator('[data-key="client/5432"] a').first().focus();
		golden.state.change = (text) => text.replace(/(data-key="client\/5432"[^]*?verdict" data-n=")\d+/, "$199");
		await until(tab, () => document.querySelector("tbody tr").dataset.key === "client/5432");
		assert.equal(await tab.evaluate(() => document.activeElement.closest("tr")?.dataset.key), "client/5432");
	},
	"pauses and goes on": async (browser) => {
		const { tab } = await open(browser);
		await tabTo(tab, "#pause");
		await tab.keyboard.press("Enter");
		assert.equal(await tab.locator("#status").textContent(), "Paused");
		golden.state.change = (text) => text.replaceAll(">4 stale", ">7 stale");
		const before = golden.state.requests;
		await tab.waitForTimeout(2500);
		assert.ok(golden.state.requests - before <= 1);
		assert.equal(await tab.locator("h1").innerText(), "4 stale connections on 1 port");
		await tab.keyboard.press("Enter");
		await until(tab, () => document.querySelector("h1").innerText.startsWith("7 stale"));
	},
	"says so when the exporter is gone, and recovers": async (browser) => {
		const { tab } = await open(browser);
		golden.state.status = 503;
		await until(tab, () => document.getElementById("status").textContent.startsWith("No answer from the exporter"));
		await picture(tab, "no-answer");
		golden.state.status = 200;
		await until(tab, () => document.getElementById("status").textContent === "");
	},
	"goes from no sample to the first": async (browser) => {
		const { tab, complaints } = await open(browser, { page: "nosample" });
		assert.equal(await tab.locator("h1").innerText(), "No sample yet");
		await checkAxe(tab);
		golden.state.page = "story";
		await tab.waitForSelector("tbody tr");
		assert.deepEqual(complaints, []);
	},
	"stands names that want to be markup": async (browser) => {
		const { tab, complaints } = await open(browser, { page: "rich" });
		assert.equal(await tab.locator("script").count(), 1);
		assert.equal(await overflow(tab), 0);
		await checkAxe(tab);
		await picture(tab, "rich-desktop");
		await tab.locator("summary").first().click();
		golden.state.change = (text) => text.replaceAll("6 connections:", "7 connections:");
		await until(tab, () => document.body.innerText.includes("7 connections:"));
		assert.ok(await tab.locator("details").first().evaluate((details) => details.open));
		await tab.setViewportSize(phone);
		assert.equal(await overflow(tab), 0);
		await picture(tab, "rich-phone");
		assert.deepEqual(complaints, []);
	},
};

async function runAll(browser, checks) {
	const counts = { passed: 0, failed: 0 };
	for (const [name, check] of Object.entries(checks).filter(([name]) => !only || new RegExp(only).test(name))) {
		try {
			await check(browser);
			counts.passed++;
			console.log(`ok   ${name}`);
		} catch (error) {
			counts.failed++;
			console.log(`FAIL ${name}\n${String(error.stack ?? error).replace(/^/gm, "    ")}`);
		}
		await Promise.all(browser.contexts().map((context) => context.close()));
	}
	return counts;
}

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
const { passed, failed } = await runAll(browser, golden ? { ...anyPage, ...goldenPages } : anyPage);
await browser.close();
golden?.close();
const skipped = golden ? 0 : Object.keys(goldenPages).length;
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
process.exitCode = failed > 0 ? 1 : 0;
