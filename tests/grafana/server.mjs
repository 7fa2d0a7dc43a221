/* Serves one page, which draws a dashboard when its show() is called, on a port of its own on loopback. */
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const here = new URL("./", import.meta.url);
const types = { svg: "image/svg+xml", css: "text/css", js: "text/javascript", woff2: "font/woff2" };
const page = `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Dashboard</title><link rel="icon" href="data:,">
<link rel="stylesheet" href="/view.css"></head><body><div id="root"></div><script src="/view.js"></script></body></html>`;

/* What Grafana's server has in other places than the packages. */
const places = [
	[/^\/public\/build\/(img\/icons\/.*)/, "node_modules/@grafana/ui/dist/public/$1"],
	[/^\/public\/fonts\/inter\/Inter-Regular\.woff2$/, "node_modules/@fontsource/inter/files/inter-latin-400-normal.woff2"],
	[/^\/public\/fonts\/inter\/Inter-Medium\.woff2$/, "node_modules/@fontsource/inter/files/inter-latin-500-normal.woff2"],
	[/^\/public\/fonts\/roboto\/.*/, "node_modules/@fontsource/roboto-mono/files/roboto-mono-latin-400-normal.woff2"],
];

async function bundle() {
	const { outputFiles } = await build({
		entryPoints: [fileURLToPath(new URL("view.jsx", here))], bundle: true, write: false, outdir: "/", jsx: "automatic",
		format: "iife", minify: true, define: { "process.env.NODE_ENV": '"production"' },
		/* The editor of queries is not drawn, and is as large as all else together. */
		alias: { "monaco-editor": fileURLToPath(new URL("none.mjs", here)) },
	});
	return Object.fromEntries(outputFiles.map((file) => [file.path, file.contents]));
}

async function answer(files, path) {
	if (path === "/")
		return page;
	if (path in files)
		return files[path];
	const [pattern, place] = places.find(([known]) => known.test(path)) ?? [];
	return place ? readFile(new URL(path.replace(pattern, place), here)) : null;
}

export async function serve() {
	const files = await bundle();
	const server = createServer(async (request, response) => {
		const path = new URL(request.url, "http://localhost").pathname;
		const body = await answer(files, path).catch(() => null);
		response.writeHead(body ? 200 : 404, { "Content-Type": types[path.split(".").pop()] ?? "text/html" });
		response.end(body ?? `no ${path}`);
	});
	await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
	return {
		url: `http://127.0.0.1:${server.address().port}/`,
		close: () => {
			server.close();
			server.closeAllConnections();
		},
	};
}
