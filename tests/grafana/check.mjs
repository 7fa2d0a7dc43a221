/*
 * Checks what is in grafana/ against Grafana's types, and every query against the grammar of Prometheus 3.
 *
 *   node check.mjs
 *
 * The last line is `N passed, N failed`.
 */
import { execFileSync } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";

import { parser } from "@prometheus-io/lezer-promql";
import ts from "typescript";
import { parse } from "yaml";

const here = fileURLToPath(new URL("./", import.meta.url));
const root = join(here, "../..");

async function read(path) {
	return readFile(join(root, path), "utf8");
}

async function listed(folder, ending) {
	return (await readdir(join(root, folder))).filter((name) => name.endsWith(ending)).map((name) => join(folder, name));
}

/* -- Types: each file becomes a constant of a program that is never run. -- */

const options = {
	strict: true, noEmit: true, skipLibCheck: true, allowArbitraryExtensions: true, types: [],
	target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext, moduleResolution: ts.ModuleResolutionKind.Bundler,
};

/* What the compiler says of `sources`, {name: text}, which lie beside types.d.ts. */
function typeErrors(sources) {
	const host = ts.createCompilerHost(options);
	const { getSourceFile, fileExists, readFile: readSource } = host;
	const textOf = (path) => sources[basename(path)];
	host.fileExists = (path) => textOf(path) !== undefined || fileExists(path);
	host.readFile = (path) => textOf(path) ?? readSource(path);
	host.getSourceFile = (path, version, ...rest) => textOf(path) === undefined ? getSourceFile(path, version, ...rest)
		: ts.createSourceFile(path, textOf(path), version);
	const program = ts.createProgram(Object.keys(sources).map((name) => join(here, name)), options, host);
	return ts.getPreEmitDiagnostics(program).map((found) => {
		const { line } = found.file ? found.file.getLineAndCharacterOfPosition(found.start) : { line: 0 };
		return { name: basename(found.file?.fileName ?? ""), text: `line ${line + 1}: ${ts.flattenDiagnosticMessageText(found.messageText, "\n        ")}` };
	});
}

const constant = (type, value) =>
	`import type { ${type} } from "./types";\nexport const it: ${type} = ${JSON.stringify(value, null, 2)};\n`;

async function typed() {
	const files = [
		...(await listed("grafana/dashboards", ".json")).map((path) => [path, "Dashboard", JSON.parse]),
		...(await listed("grafana/provisioning/dashboards", ".yaml")).map((path) => [path, "DashboardProviders", parse]),
		...(await listed("grafana/provisioning/datasources", ".yaml")).map((path) => [path, "DataSources", parse]),
	];
	const sources = {};
	for (const [i, [path, type, values]] of files.entries())
		sources[`file${i}.ts`] = constant(type, values(await read(path)));
	const errors = typeErrors(sources);
	return files.map(([path], i) => [path, errors.filter(({ name }) => name === `file${i}.ts`).map(({ text }) => text)]);
}

/* The types have to refuse something, else they prove nothing. */
async function refusals() {
	const dashboard = JSON.parse(await read("grafana/dashboards/tcphealth-overview.json"));
	const changed = (change) => {
		const copy = structuredClone(dashboard);
		change(copy, copy.panels.find((panel) => panel.type === "timeseries"));
		return constant("Dashboard", copy);
	};
	const sources = {
		"odd0.ts": changed((_, panel) => { panel.options.legend.displayMode = "tabel"; }),
		"odd1.ts": changed((_, panel) => { panel.fieldConfig.defaults.custom.lineWidht = 1; }),
		"odd2.ts": changed((_, panel) => { panel.fieldConfig.overrides[0].properties[0].id = "colour"; }),
		"odd3.ts": changed((copy) => { copy.templating.list[0].type = "queries"; }),
		"odd4.ts": constant("DataSources", { apiVersion: 1, datasources: [{ name: "x", type: "prometheus", adress: "" }] }),
	};
	const refused = new Set(typeErrors(sources).map(({ name }) => name));
	return Object.keys(sources).filter((name) => !refused.has(name)).map((name) => `${name} passes`);
}

/* -- Queries -- */

/* Grafana puts a span there before it asks. */
const asAsked = (expr) => expr.replaceAll("$__rate_interval", "1m");

function syntaxErrors(expr) {
	const found = [];
	parser.parse(asAsked(expr)).iterate({ enter: (node) => {
		if (node.type.isError)
			found.push(`at ${node.from}, "${asAsked(expr).slice(node.from, node.to + 10)}": ${expr}`);
	} });
	return found;
}

function mixin(expression) {
	return JSON.parse(execFileSync("jsonnet", ["-J", join(root, "deploy/mixin"), "-e", expression], { timeout: 60000 }));
}

async function queries() {
	const groups = ["(import 'mixin.libsonnet').prometheusAlerts", "(import 'mixin.libsonnet').prometheusRules", "import 'links-example.jsonnet'"];
	const rules = groups.flatMap((group) => mixin(group).groups).flatMap((group) => group.rules);
	const dashboards = await Promise.all((await listed("grafana/dashboards", ".json")).map(async (path) => JSON.parse(await read(path))));
	const targets = dashboards.flatMap((dashboard) => dashboard.panels).flatMap((panel) => panel.targets ?? []);
	return [...rules, ...targets].map(({ expr }) => expr);
}

/* -- All of it -- */

const exprs = await queries();
const results = [
	...await typed(),
	["the types refuse what is wrong", await refusals()],
	[`${exprs.length} queries in the grammar of Prometheus 3`, exprs.flatMap(syntaxErrors)],
	["the grammar refuses what is wrong", syntaxErrors("sum by (x) (rate(a[5m])").length && syntaxErrors("a{b=}").length ? [] : ["it does not"]],
];
const failed = results.filter(([, wrong]) => wrong.length);
for (const [name, wrong] of results)
	console.log([`${wrong.length ? "FAIL" : "ok  "} ${name}`, ...wrong].join("\n    "));
console.log(`${results.length - failed.length} passed, ${failed.length} failed`);
process.exitCode = failed.length ? 1 : 0;
