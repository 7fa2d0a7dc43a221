/*
 * Draws the dashboards of grafana/dashboards in a browser and looks whether each panel shows what it has to.
 *
 *   node render.mjs SCENES [PICTURES]
 *
 * SCENES is a directory of what tests/grafana/run wrote, PICTURES one for pictures. CHROMIUM is the browser
 * (/usr/bin/chromium). The last line is `N passed, N failed`.
 */
import assert from "node:assert/strict";
import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

import { chromium } from "playwright-core";

import { serve } from "./server.mjs";

const PATIENCE_MS = 60000;
const WIDTH = 1600;
/* As view.jsx places the panels. */
const ROW = 38;
const HEADER = 60;

const [scenes, pictures] = process.argv.slice(2);
const dashboards = new URL("../../grafana/dashboards/", import.meta.url);

async function json(path) {
	return JSON.parse(await readFile(path, "utf8"));
}

/* -- Drawing -- */

async function draw(browser, url, { scene, dashboard, dark }) {
	const height = HEADER + ROW * Math.max(...dashboard.panels.map(({ gridPos }) => gridPos.y + gridPos.h));
	const context = await browser.newContext({ viewport: { width: WIDTH, height }, timezoneId: "UTC" });
	const tab = await context.newPage();
	const complaints = [];
	tab.setDefaultTimeout(PATIENCE_MS);
	tab.on("console", (message) => ["error", "warning"].includes(message.type()) && complaints.push(message.text()));
	tab.on("pageerror", (error) => complaints.push(String(error)));
	tab.on("response", (response) => response.ok() || complaints.push(`${response.status()} ${response.url()}`));
	await tab.addInitScript(readPixels);
	await tab.goto(url);
	const told = await tab.evaluate((what) => globalThis.show(what), { dashboard, scene, dark });
	await tab.waitForFunction(isDrawn, dashboard.panels.length);
	const panels = await tab.evaluate(look);
	return { tab, complaints: [...complaints, ...told.complaints], facts: told.facts, panels, dashboard, scene };
}

/* In the page: pixels(canvas). A copy is read, as Chromium complains of reading what it draws on. */
function readPixels() {
	globalThis.pixels = (canvas) => {
		const { width, height } = canvas;
		const copy = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
		copy.drawImage(canvas, 0, 0);
		return copy.getImageData(0, 0, width, height).data;
	};
}

/* In the page: every panel has something to see. */
function isDrawn(count) {
	const isPainted = (canvas) => canvas.width && globalThis.pixels(canvas).some((byte) => byte);
	const shows = {
		timeseries: (panel) => [...panel.querySelectorAll("canvas")].some(isPainted),
		table: (panel) => panel.querySelector("[role=gridcell]"),
	};
	const isShown = (panel) => panel.querySelector("svg path") && (panel.querySelector(".no-data") || !shows[panel.dataset.type] ||
		shows[panel.dataset.type](panel));
	const panels = [...document.querySelectorAll(".panel")];
	return panels.length === count && document.fonts.status === "loaded" && panels.every(isShown);
}

/* In the page: what there is to see, by title. */
function look() {
	const texts = (panel, selector) => [...panel.querySelectorAll(selector)].map((element) => element.innerText.trim());
	const isBright = (colour) => Math.max(...colour) - Math.min(...colour) > 60;
	/* Whether there is more than axes and grid. */
	const isColoured = (canvas) => {
		const data = globalThis.pixels(canvas);
		let found = 0;
		for (let i = 0; i < data.length; i += 4)
			found += data[i + 3] > 50 && isBright(data.slice(i, i + 3));
		return found > 50;
	};
	return Object.fromEntries([...document.querySelectorAll(".panel")].map((panel) => {
		const title = panel.querySelector("h2, h6");
		return [panel.dataset.title, {
			text: panel.innerText,
			title: title?.innerText,
			isCut: title ? title.scrollWidth > title.clientWidth : true,
			nothing: panel.querySelector(".no-data")?.innerText,
			isColoured: [...panel.querySelectorAll("canvas")].some(isColoured),
			colours: [...panel.querySelectorAll("[data-testid=series-icon]")].map((icon) => icon.getAttribute("style")),
			legend: [...panel.querySelectorAll("tbody tr")].map((row) => texts(row, "td")),
			headings: texts(panel, "[role=columnheader]"),
			cells: [...panel.querySelectorAll("[role=row]:not(:has([role=columnheader]))")].map((row) => texts(row, "[role=gridcell]")),
			hidden: [...panel.querySelectorAll("[role=grid]")].map((grid) => grid.scrollWidth - grid.clientWidth),
			code: texts(panel, "pre").join("\n"),
		}];
	}));
}

/* -- What has to hold: generators of what does not -- */

const time = String.raw`(ns|µs|ms|s|mins?|hours?|days?|weeks?|years?)`;
const formats = {
	s: new RegExp(String.raw`^(-?[\d.]+ ${time}|never|nothing|no connection)$`),
	percentunit: /^[\d.]+%$/,
	bytes: /^[\d.]+ (B|[KMGT]iB)$/,
	Bps: /^[\d.]+ (k|M|G)?B\/s$/,
	short: /^(-?[\d.]+( (K|Mil|Bil))?|gone|none)$/,
	none: /^-?[\d.]+$/,
};

function* wrongFormat(unit, text) {
	if (unit in formats && !formats[unit].test(text))
		yield `"${text}" is not in the unit ${unit}`;
}

const numbersOf = ({ fields }) => fields.filter((field) => field.type === "number");

const kinds = {
	*timeseries(panel, seen, fact) {
		const names = numbersOf(fact).map((field) => field.name);
		const shown = seen.legend.map(([, name]) => name.replace(" (right y-axis)", ""));
		for (const name of names) {
			if (!shown.includes(name))
				yield `the legend does not name ${name}: ${shown}`;
			if (/[{}]|^\s|\s$|  |undefined/.test(name))
				yield `"${name}" is no name for a series`;
		}
		if (new Set(names).size !== names.length)
			yield `two series of one name: ${names}`;
		for (const [, name, ...values] of seen.legend)
			for (const value of values)
				yield* [...wrongFormat(panel.fieldConfig.defaults.unit, value)].map((wrong) => `${name}: ${wrong}`);
		if (!seen.isColoured)
			yield "no line";
		if (new Set(seen.colours).size < Math.min(2, names.length))
			yield `${names.length} lines in one colour`;
		const last = seen.legend.map((row) => row.at(-2));
		if (last.every((value) => /^[\d.]+$/.test(value)) && last.some((value, i) => i && Number(value) > Number(last[i - 1])))
			yield `the largest does not come first: ${last}`;
	},
	*table(panel, seen, fact) {
		const wanted = fact.fields.map((field) => field.name);
		if (seen.headings.join() !== wanted.join())
			yield `columns ${seen.headings} instead of ${wanted}`;
		if (seen.hidden.some((pixels) => pixels > 0))
			yield `${seen.hidden} pixels of its width are hidden`;
		if (wanted.some((name) => !/^([A-Z]|libmicrohttpd)/.test(name) || name.startsWith("Value")))
			yield `a heading that is not for people: ${wanted}`;
		if (!seen.cells.length)
			yield "no rows are shown";
		const [sorted] = panel.options.sortBy.map(({ displayName }) => wanted.indexOf(displayName));
		for (const [y, cells] of seen.cells.entries()) {
			for (const [x, field] of fact.fields.entries())
				if (cells[x] && cells[x] !== "-")
					yield* wrongFormat(field.unit, cells[x]);
			if (y && panel.fieldConfig.defaults.unit === "string" && fact.fields[sorted].unit === "short" &&
			    (Number(cells[sorted]) || 0) > (Number(seen.cells[y - 1][sorted]) || 0))
				yield `not sorted by ${wanted[sorted]}`;
		}
		const port = wanted.indexOf("Port");
		for (const cells of port < 0 ? [] : seen.cells)
			if (!/^(\d+|other|unknown|-)$/.test(cells[port]))
				yield `"${cells[port]}" is no port`;
	},
	*stat(panel, seen) {
		const shown = seen.text.replace(seen.title, "").replace(/\s+/g, " ").trim();
		const { unit } = panel.fieldConfig.defaults;
		yield* wrongFormat(unit, shown);
	},
	*bargauge(panel, seen, fact) {
		for (const { name } of numbersOf(fact))
			if (!seen.text.includes(name))
				yield `no bar for ${name}`;
	},
	*text(panel, seen) {
		if (!seen.code.includes("time_intervals:") || /\$\w|\*\*|```/.test(seen.text))
			yield `not drawn: ${seen.text}`;
	},
};

function* wrongLinks(fact, known) {
	for (const { name, links } of fact.fields)
		for (const link of links.filter((href) => href.startsWith("/d/"))) {
			const target = new URL(link, "http://localhost");
			const dashboard = known[target.pathname.slice("/d/".length)];
			if (!dashboard)
				yield `${name} leads to no dashboard: ${link}`;
			const variables = dashboard?.templating.list.map((variable) => `var-${variable.name}`) ?? [];
			for (const variable of variables)
				if (!target.searchParams.get(variable))
					yield `${name} leads there without ${variable}: ${link}`;
		}
}

function* wrongPanel({ dashboard, panels, facts }, known) {
	for (const panel of dashboard.panels) {
		const seen = panels[panel.title], fact = facts[panel.title];
		const about = (wrong) => `${panel.title}: ${wrong}`;
		if (seen.title !== panel.title || seen.isCut)
			yield about(`the title is "${seen.title}"${seen.isCut ? ", cut off" : ""}`);
		if (/\bNaN\b|undefined|Infinity|∞|No data/.test(seen.text))
			yield about(`shows ${seen.text}`);
		if (seen.nothing === undefined)
			yield* [...kinds[panel.type](panel, seen, fact)].map(about);
		yield* [...wrongLinks(fact, known)].map(about);
	}
}

/* -- All of it -- */

const counts = { passed: 0, failed: 0 };

function tell(name, wrong) {
	counts[wrong.length ? "failed" : "passed"]++;
	console.log([`${wrong.length ? "FAIL" : "ok  "} ${name}`, ...wrong].join("\n    "));
}

async function picture(tab, name) {
	if (!pictures)
		return;
	await mkdir(pictures, { recursive: true });
	await tab.screenshot({ path: join(pictures, `${name}.png`) });
}

/* {uid: dashboard}, and which of its panels had data. */
const known = {};
for (const file of await readdir(dashboards)) {
	const dashboard = await json(new URL(file, dashboards));
	known[dashboard.uid] = dashboard;
}
const drawn = Object.fromEntries(Object.keys(known).map((uid) => [uid, new Set()]));

async function both(browser, url, name) {
	const scene = await json(join(scenes, `${name}.json`));
	for (const dark of [true, false]) {
		const theme = dark ? "dark" : "light";
		const result = await draw(browser, url, { scene, dashboard: known[scene.uid], dark });
		await picture(result.tab, `${name}-${theme}`);
		for (const [title, { rows }] of Object.entries(result.facts))
			if (rows)
				drawn[scene.uid].add(title);
		tell(`${name}, ${theme}`, [...result.complaints, ...wrongPanel(result, known)]);
		await result.tab.context().close();
	}
}

const server = await serve();
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
try {
	const names = (await readdir(scenes)).map((file) => file.replace(".json", "")).sort();
	assert.ok(names.length, `nothing to draw in ${scenes}`);
	for (const name of names)
		await both(browser, server.url, name).catch((error) => tell(name, [error.stack]));
	for (const [uid, titles] of Object.entries(drawn))
		tell(`every panel of ${uid} was drawn with data`, known[uid].panels
			.filter((panel) => panel.type !== "text" && panel.type !== "stat" && !titles.has(panel.title)).map((panel) => panel.title));
} finally {
	await browser.close();
	server.close();
}
console.log(`${counts.passed} passed, ${counts.failed} failed`);
process.exitCode = counts.failed ? 1 : 0;
